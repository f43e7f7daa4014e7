"""Measure what the Evaluate page computes: python -m benchmarks.evaluation [--classes 1000] [--images 20000]

Prints, for each view, the seconds that its findings and charts take when the answers of the network have just been read, and those of a
later rerun of the page, which draws the charts again. The answers are random, and right for half of the images.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.rows import markdown
from expertnet.charts.base import specification
from expertnet.evaluation.calibration import fit_temperature
from expertnet.evaluation.compare import disagreements
from expertnet.evaluation.figures import figures
from expertnet.evaluation.outputs import Outputs
from expertnet.findings.calibration import reliability, thresholds
from expertnet.findings.confusion import confusion
from expertnet.findings.duel import difference, difference_by_class
from expertnet.findings.finding import Finding
from expertnet.findings.results import by_class, overall


def random_outputs(part: str, images: int, classes: int, seed: int) -> Outputs:
    """Return the answers of a network that is right for about half of the images."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (images,), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(images, classes, generator=generator)
    logits[torch.arange(images), labels] += torch.randn(images, generator=generator) + 3.2
    return Outputs("validation" if part == "validation" else "test", labels, logits, torch.ones(images, 8, 3) / 3, "x")


def draw(*found: Finding) -> None:
    for each in found:
        if each.chart is not None:
            specification(each.chart)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=20_000)
    options = parser.parse_args()
    names = tuple(f"class {number}" for number in range(options.classes))
    first, second, held = (
        random_outputs(part, options.images, options.classes, seed)
        for seed, part in enumerate(("test", "test", "validation"))
    )

    def results() -> None:
        figures(first)
        draw(confusion(first, names, "test"), by_class(first, names), overall(first))
        first.places(wrong=True)

    def calibration() -> None:
        draw(reliability(first, fit_temperature(held)), thresholds(first, 0.8))

    def compare() -> None:
        draw(difference(first, second), difference_by_class(first, second, names))
        disagreements(first, second)

    rows = []
    for title, view in (("Results", results), ("Calibration", calibration), ("Compare", compare)):
        rows.append([title, *(f"{seconds:.3f}" for seconds in timed(view))])
    print(f"{options.classes:,} classes, {options.images:,} images\n")
    print(markdown(["View", "First", "Then (median of five)"], rows))


def timed(view: Callable[[], None]) -> Sequence[float]:
    """Return the seconds of the first call and the median of the next five."""
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        view()
        seconds.append(time.perf_counter() - started)
    return seconds[0], sorted(seconds[1:])[2]


if __name__ == "__main__":
    main()
