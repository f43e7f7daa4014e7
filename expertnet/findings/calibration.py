"""Whether the probabilities of a network can be trusted, and what is gained by not answering below a threshold."""

from functools import partial

import pandas as pd

from expertnet.charts.evaluation import coverage_curve, reliability_diagram
from expertnet.evaluation.calibration import calibration, coverage
from expertnet.evaluation.figures import share
from expertnet.evaluation.outputs import Outputs
from expertnet.evaluation.temperature import FEWEST
from expertnet.findings.finding import Finding, cached
from expertnet.routing.paired import wilson
from expertnet.routing.robustness import BINS
from expertnet.utils.text import counted, percent

SHIPPED = "as trained"


@cached
def reliability(outputs: Outputs, temperature: float | None) -> Finding:
    """Compare confidence with accuracy, before and after dividing the logits by a temperature, None if there is none."""
    before, parts = calibration(outputs.logits, outputs.labels), []
    after = calibration(outputs.logits, outputs.labels, temperature) if temperature else None
    for series, found in ((SHIPPED, before), (f"with temperature {temperature or 1:.2f}", after)):
        if found is not None:
            parts.append(found.bins.assign(series=series, ece=found.ece, nll=found.nll))
    table = pd.concat(parts)[["series", *before.bins.columns, "ece", "nll"]]
    confidence, right = outputs.confidence.mean().item(), share(outputs.predictions == outputs.labels)
    what = f"on average, its confidence is {percent(confidence)} and its accuracy {percent(right.value)}"
    if confidence > right.high:
        sentence = f"The network is overconfident: {what}."
    elif confidence < right.low:
        sentence = f"The network is underconfident: {what}."
    else:
        sentence = f"The network is not measurably over- or underconfident: {what}."
    sentence += (
        f" The expected calibration error is {percent(before.ece)} and the negative log-likelihood {before.nll:.3f}"
    )
    if after is not None:
        sentence += f"; with temperature {temperature:.2f}, {percent(after.ece)} and {after.nll:.3f}"
    fitted = (
        " The temperature divides the logits. It minimizes the negative log-likelihood of the validation images, never of the test "
        "images, and changes no answer."
    )
    if after is None:
        fitted = ""
        sentence += f". There is no temperature: it is fitted on the answers for at least {FEWEST} validation images, some of them wrong"
    elif outputs.part == "validation":
        fitted += (
            " Here it is judged on the images that it was fitted on. Look at the test images to see what it is worth."
        )
    method = (
        f"Confidence is the probability of the answer. The {counted(len(outputs.labels), f'{outputs.part} image')} are put into {BINS} "
        "bins of equal width. A dot is the mean confidence and the accuracy of a bin's images, with the 95% interval of Wilson. Bins "
        "with few images may be off the line by chance. The expected calibration error (ECE) is the mean distance from the diagonal, "
        "weighted with the images; with few images it is above 0 even for perfect probabilities. The negative log-likelihood "
        f"(NLL) is in nats.{fitted} (Guo 2017, arXiv:1706.04599.)"
    )
    return Finding(
        f"reliability-{outputs.part}",
        "reliability diagram",
        f"{sentence}.",
        partial(reliability_diagram, table),
        table,
        method,
    )


@cached
def thresholds(outputs: Outputs, threshold: float) -> Finding:
    """Show what remains if the network does not answer when its confidence is below a threshold."""
    table, count = coverage(outputs), len(outputs.labels)
    answered = table[table["threshold"] >= threshold]
    method = (
        "The network answers only if the probability of its answer is at least the threshold. The curve goes through all "
        "thresholds: it ends on the right where every image is answered. Choose a threshold on the validation images, and read what it "
        "is worth on the test images (selective classification; Geifman and El-Yaniv 2017, arXiv:1705.08500)."
    )
    if answered.empty:
        chosen = pd.DataFrame(
            {"threshold": [threshold], "coverage": [0.0], "accuracy": [float(table["accuracy"].iloc[0])]}
        )
        sentence = f"At a threshold of {percent(threshold)}, no image is answered."
    else:
        chosen = answered.tail(1)
        number, accuracy = int(chosen["answered"].iloc[0]), float(chosen["accuracy"].iloc[0])
        low, high = wilson(accuracy, number)
        sentence = (
            f"At a threshold of {percent(threshold)}, {percent(number / count)} of the images are answered, and {percent(accuracy)} of "
            f"the answers are right (95%: {percent(low)} to {percent(high)})."
        )
    chart = partial(coverage_curve, table, chosen)
    return Finding(f"thresholds-{outputs.part}", "chart of thresholds", sentence, chart, table, method)
