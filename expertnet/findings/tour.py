"""A tour of the lab in six steps, for a network on `contexts` whose experts follow the background of the image."""

from dataclasses import dataclass

import pandas as pd

from expertnet.data.splits import Split
from expertnet.findings import factors
from expertnet.findings.finding import highest
from expertnet.inference.predictor import Predictor
from expertnet.routing.factors import known_factors, what_it_shows
from expertnet.routing.interventions import ablated
from expertnet.routing.lab import Lab

TRIED = 20  # images, for one whose answer depends on its expert
FOLLOWS = 0.9  # share of the variance of its weights that the background explains in the block of the tour


@dataclass(frozen=True)
class Step:
    """A text, the view of the Experts page in which to read it, and what the view shows, if the step changes that."""

    text: str
    view: str
    image: int | None = None  # of the test set, from 0
    block: int | None = None
    heading: str = ""  # of the section that the text is about, if it is further down


def tour_steps(lab: Lab, predictor: Predictor, split: Split, controls: str) -> list[Step]:
    """Return the steps for a network and its test set; none if no block follows the background, or if no two images show it.

    `controls` says what is known of the retrained controls.
    """
    dataset = predictor.settings.data.dataset
    known, found = known_factors(dataset, lab.count), factors.factors(lab, dataset)
    if dataset != "contexts" or known is None or found is None:
        return []
    most = highest(found.table[found.table["factor"] == "background"], "deviation")
    block, backgrounds = int(most["block"]), factors.values(lab, dataset, int(most["block"]), "background")
    pair = _pair(lab, predictor, split, known, block)
    if most["share"] < FOLLOWS or backgrounds is None or pair is None:
        return []
    shows = [what_it_shows(dataset, lab.count, index).capitalize() for index in pair]
    weights = lab.routed.routing[list(pair), block - 1]
    (best, other), (weight, another) = (values.tolist() for values in (weights.argmax(1) + 1, weights.amax(1)))
    answer, changed = (lab.classes[int(lab.routed.predictions[index])] for index in pair)
    first, second = pair
    return [
        Step(
            f"{shows[0]}. Block {block} gives expert {best} the largest weight, {weight:.2f}, and the network answers “{answer}”.",
            "One image",
            first,
            block,
        ),
        Step(
            f"{shows[1]}: only the background differs. Block {block} gives expert {other} the largest weight, {another:.2f}. On "
            f"{known['background'][second]} background, a {known['shape'][second]} means “{changed}”, which is the network's answer.",
            "One image",
            second,
            block,
        ),
        Step(
            f"On average, the same holds for all {lab.count:,} test images, see “What the routing follows” below. {backgrounds.sentence}",
            "Classes",
            block=block,
        ),
        Step(
            f"The first image again. Further down in this view, switch off expert {best}: the answer is no longer “{answer}”.",
            "What if",
            first,
            block,
            "One image",
        ),
        Step(
            "“Does the network rely on per-image routing?” shows what is lost if all images are routed the same way, and the chart "
            "below it, what is lost without each expert.",
            "What if",
        ),
        Step(
            f"A network that relies on routing may not need it: trained without, it would have learned other weights. {controls}",
            "Controls",
        ),
    ]


def _pair(lab: Lab, predictor: Predictor, split: Split, known: pd.DataFrame, block: int) -> tuple[int, int] | None:
    """Return two test images (from 0) that differ in the background alone, have other experts and other answers, both right.

    Without its expert, the first one gets another answer.
    """
    weights, experts = (values.tolist() for values in lab.routed.routing[:, block - 1].max(1))
    labels, right = lab.routed.labels.tolist(), (lab.routed.predictions == lab.routed.labels).nonzero()[:, 0].tolist()
    right.sort(key=lambda index: -weights[index])
    looks = list(zip(*(known[name].cat.codes for name in ("shape", "color", "texture")), strict=True))
    for first in right[:TRIED]:
        probabilities_1C, _ = predictor(split.images[[first]], {block: ablated(experts[first])})
        if int(probabilities_1C.argmax()) == labels[first]:
            continue
        for second in right:
            other = experts[second] != experts[first] and labels[second] != labels[first]
            if other and looks[second] == looks[first]:
                return first, second
    return None
