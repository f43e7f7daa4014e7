"""How quick the routing lab is: python -m benchmarks.routing_lab RUN [--runs-dir DIR] [--dataset D]

Prints, on this machine, for the run's network: seconds to route the test pictures, to silence every expert and the same as
passes over the test set, what each view's tables and charts take once the routing is kept, and what a moved slider takes.
Medians of five where it does not say otherwise.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from expertnet import figures, whatif
from expertnet.datasets import Split, load_test_split
from expertnet.devices import available_threads
from expertnet.inference import Predictor, Routed, load_predictor
from expertnet.lab import Lab
from expertnet.runs import RunStore


def seconds(work: Callable[[], object], times: int = 5) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return median(taken)


def one_pass(predictor: Predictor, split: Split) -> Routed:
    batches = [predictor(split.images[start : start + 500]) for start in range(0, len(split), 500)]
    predictions = torch.cat([probabilities.argmax(1) for probabilities, _ in batches])
    return Routed(torch.cat([weights for _, weights in batches]), split.labels.clone(), predictions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--runs-dir")
    parser.add_argument("--dataset", help="where the pictures are, if not where the run says")
    options = parser.parse_args()
    run = RunStore(options.runs_dir).resolve(options.run)
    predictor = load_predictor(run, threads=available_threads())
    data = run.settings().data
    split, _ = load_test_split(data.model_copy(update={"dataset": options.dataset}) if options.dataset else data)
    model = predictor.settings.model
    print(f"{run.title}: {model.num_blocks} blocks of {model.num_experts} experts, {len(split):,} test pictures")
    routed = one_pass(predictor, split)
    alone = seconds(lambda: one_pass(predictor, split), times=3)
    print(f"one pass over the test pictures: {alone:.1f} s (median of 3)")
    batches = range(0, len(split), 500)
    silencing = seconds(
        lambda: [whatif._silenced_batch(predictor, split.images[start : start + 500], True) for start in batches],
        times=1,
    )
    plain = model.num_blocks * model.num_experts
    print(
        f"silencing all {plain} experts: {silencing:.1f} s, as {silencing / alone:.1f} passes (once); one by one {plain}"
    )
    views: dict[str, Callable[[Lab], object]] = {
        "Classes": lambda lab: (
            figures.classes(lab, 1),
            figures.information(lab),
            figures.plane(lab),
            figures.mistakes(lab),
        ),
        "Experts": lambda lab: (figures.utilization(lab), figures.entropies(lab), figures.specializations(lab)),
        "Through training": lambda lab: figures.through_training(run.metrics(), run.watched_pictures),
    }
    for name, make in views.items():
        lab = Lab(routed, predictor.classes)
        first = seconds(lambda lab=lab, make=make: make(lab), times=1)  # type: ignore[misc]
        print(f"{name}: {first:.3f} s the first time, then {seconds(lambda lab=lab, make=make: make(lab)):.3f} s")  # type: ignore[misc]
    changes = {1: whatif.forced(0)}
    image = split.images[:1]
    predictor = load_predictor(run, threads=1)  # as the page does
    predictor(image)
    slider = seconds(lambda: (predictor(image), predictor(image, changes)))
    print(f"a moved slider (both answers, one thread): {slider:.3f} s")


if __name__ == "__main__":
    main()
