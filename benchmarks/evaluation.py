"""Measure what the Evaluate page computes: python -m benchmarks.evaluation [--classes 1000] [--images 20000]

Prints, for each view, the seconds that its findings and charts take when the answers of the network have just been read, and those of a
later rerun of the page, which draws the charts again; in brackets, the seconds of CPU time. The answers are random, and right for half
of the images. Compare is of two runs that share half of their images, of 32x32 pixels. The temperature is fitted once, in the
background.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from statistics import median

import torch

from benchmarks.rows import markdown
from expertnet.charts.base import specification
from expertnet.data.splits import Split
from expertnet.evaluation.compare import disagreements, pair
from expertnet.evaluation.figures import figures
from expertnet.evaluation.outputs import Outputs
from expertnet.evaluation.temperature import fit_temperature
from expertnet.findings.calibration import reliability, thresholds
from expertnet.findings.confusion import confusion
from expertnet.findings.duel import difference, difference_by_class
from expertnet.findings.finding import Finding
from expertnet.findings.results import by_class, overall


def random_outputs(images: int, classes: int, seed: int) -> Outputs:
    """Return the answers of a network that is right for about half of the images."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (images,), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(images, classes, generator=generator)
    logits[torch.arange(images), labels] += torch.randn(images, generator=generator) + 3.2
    return Outputs("test", labels, logits, torch.ones(images, 8, 3) / 3, "x")


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
    first, second = (random_outputs(options.images, options.classes, seed) for seed in range(2))
    pixels = torch.randint(256, (options.images * 3 // 2, 3, 32, 32), dtype=torch.uint8)
    images = Split(pixels[: options.images], first.labels), Split(pixels[-options.images :], second.labels)

    def results() -> None:
        figures(first)
        draw(confusion(first, names, "test"), by_class(first, names), overall(first))
        first.places(wrong=True)
        first.confidence.tolist()

    def calibration() -> None:
        draw(reliability(first, 1.3), thresholds(first, 0.8))

    paired = lru_cache(maxsize=2)(pair)  # as the page keeps it

    def compare() -> None:
        found = paired(first, second, images)
        draw(difference(found.first, found.second), difference_by_class(found.first, found.second, names))
        disagreements(found.first, found.second)
        found.spread.confidence.tolist()

    def temperature() -> None:
        fit_temperature(first.logits, first.labels)

    views = {"Results": results, "Calibration": calibration, "Compare": compare, "Temperature": temperature}
    rows = [[title, *timed(view)] for title, view in views.items()]
    print(f"{options.classes:,} classes, {options.images:,} images\n")
    print(markdown(["View", "First", "Then (median of five)"], rows))


def timed(view: Callable[[], None]) -> Iterator[str]:
    """Yield the seconds of the first call and the median of the next five, those of CPU time in brackets."""
    seconds = []
    for _ in range(6):
        begun = time.perf_counter(), time.process_time()
        view()
        seconds.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    for taken, busy in (seconds[0], map(median, zip(*seconds[1:], strict=True))):
        yield f"{taken:.3f} ({busy:.3f})"


if __name__ == "__main__":
    main()
