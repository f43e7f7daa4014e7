"""Measure how much another sample of training images changes what the lab says: python -m benchmarks.estimated_norms RUN

The lab estimates batch norms again on some training images after each change of the routing. For several numbers of them, and
several samples of each, prints the accuracy of the unchanged network and the changes by switching off experts: the standard
deviation over the samples, as the mean and the maximum over the experts, in points.
"""

import argparse
from collections.abc import Iterator
from statistics import mean, stdev

import torch
from torch import Tensor

from expertnet.data.parts import load_training_sample
from expertnet.data.splits import Split
from expertnet.inference.predictor import load_predictor
from expertnet.routing import passes
from expertnet.routing.effects import load_part
from expertnet.routing.interventions import ablated
from expertnet.routing.passes import Passes, Statistics, calibration_images, estimated
from expertnet.store.run_store import RunStore

UNCHANGED = (0, 0)  # stands for the network with all experts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--runs-dir")
    parser.add_argument("--blocks", type=int, nargs="+", default=[1, 2, 3], help="whose experts are switched off")
    parser.add_argument("--images", type=int, default=1000, help="validation and test images to measure on")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--samples", type=int, default=6)
    options = parser.parse_args()
    run = RunStore(options.runs_dir).resolve(options.run)
    predictor, settings = load_predictor(run), run.settings()
    both = [load_part(run, part) for part in ("validation", "test")]
    evaluated = Split(torch.cat([part.images for part in both]), torch.cat([part.labels for part in both]))
    evaluated = evaluated.take(permutation(len(evaluated), 1)[: options.images])
    training = load_training_sample(settings.data, settings.seed, 5000, own=run.dataset_info())
    for size in options.sizes:
        passes.ESTIMATED_ON = size
        found = []
        for sample in range(options.samples):
            shuffled = training.take(permutation(len(training), 100 + sample))
            calibration, _ = calibration_images(predictor, shuffled)
            with torch.no_grad():
                network, work = estimated(predictor, calibration), Passes(predictor)
                found.append(
                    accuracies(
                        network,
                        work,
                        calibration,
                        predictor.normalized(evaluated.images),
                        evaluated.labels,
                        options.blocks,
                    )
                )
        spread = {place: 100 * stdev(each[place] for each in found) for place in found[0]}
        control, own = 100 * mean(each[UNCHANGED] for each in found), spread.pop(UNCHANGED)
        print(
            f"{size:>5} training images: unchanged {control:.1f}% (standard deviation {own:.2f}); changes: {mean(spread.values()):.2f} "
            f"on average, at most {max(spread.values()):.2f}",
            flush=True,
        )


def permutation(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def accuracies(
    network: Passes, work: Passes, calibration: Tensor, images: Tensor, labels: Tensor, blocks: list[int]
) -> dict[tuple[int, int], float]:
    """Return the accuracy of the unchanged network, and the change without each expert, by block and expert."""
    statistics: dict[tuple[int, int], Statistics] = {}
    for place, x in switched_off(network, calibration, blocks):
        work.after(place[0], x, estimate=True)
        statistics[place] = work.statistics(place[0])
    right = network.model(images).argmax(1) == labels
    found = {UNCHANGED: right.double().mean().item()}
    for place, x in switched_off(network, images, blocks):
        work.set_statistics(place[0], statistics[place])
        found[place] = (work.after(place[0], x).argmax(1) == labels).double().mean().item() - found[UNCHANGED]
    return found


def switched_off(network: Passes, images: Tensor, blocks: list[int]) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Yield each block and expert, with the input of the next block without it."""
    x = network.model.stem(images)
    for number, block in enumerate(network.blocks, 1):
        if number in blocks:
            for expert in range(block.experts.num_experts):
                yield (number, expert), network.block(number, x, ablated(expert))[0]
        x, _ = network.block(number, x)


if __name__ == "__main__":
    main()
