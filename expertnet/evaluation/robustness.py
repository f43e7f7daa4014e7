"""The answers and the routing of a network for images with corruptions, cached in the run's folder."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from expertnet.data.splits import Split, held_out
from expertnet.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupted
from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import BATCH, Predictor
from expertnet.routing.effects import load_part
from expertnet.routing.measure import Measure, Sizes
from expertnet.routing.paired import paired_change
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

MEASURED = 2000  # images at most; all 25 corrupted copies are then as many as five test sets of CIFAR-10


@dataclass(frozen=True, eq=False)  # compared by identity, to serve as a cache key
class Robustness:
    """The answers for M images without and with each of X corruptions at each of Y strengths."""

    part: Part
    labels: Tensor  # (M,): true classes
    clean: Tensor  # (M,): answers for the images as they are
    answers: Tensor  # (X, Y, M)
    moved: Tensor  # (X, Y, B) float32: mean distance of the routing from that of the same image without corruption


def measure_robustness(
    run: Run,
    part: Part,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    cancelled: ShouldStop = never,
    threads: int | None = None,
) -> Robustness:
    """Classify at most MEASURED images of a run with every corruption, and cache the result in the run's folder.

    Every class has its share of them. Raises DatasetError, RunError and Cancelled.
    """
    images = part, sample(load_part(run, part, progress))
    return CORRUPTED.measure(run, images, checkpoint, progress, cancelled, threads)


def sample(split: Split) -> Split:
    """Return about MEASURED images, or all if they are fewer, the same ones for every network."""
    return split if len(split) <= MEASURED else split.take(held_out(split.labels, MEASURED / len(split), 0)[1])


def corrupt_all(
    predictor: Predictor, part: Part, split: Split, progress: Report = silent, cancelled: ShouldStop = never
) -> Robustness:
    """Return what `measure_robustness` does, without a run.

    The distance between two routings is half the sum of the absolute differences of a block's weights (total variation).
    """
    cases = [(name, strength) for name in CORRUPTIONS for strength in STRENGTHS]
    clean, answers, moved = [], list[list[Tensor]](), list[Tensor]()
    parts = split.images.split(BATCH)
    for number, images in enumerate(parts):
        found, routing = _classified(predictor, images)
        clean.append(found)
        row, distances = list[Tensor](), list[Tensor]()
        for name, strength in cases:
            raise_if_cancelled(cancelled)
            progress("Classifying corrupted images", (number + len(row) / len(cases)) / len(parts))
            found, other = _classified(predictor, corrupted(images, name, strength, number))
            row.append(found)
            distances.append((other - routing).abs().sum(2).sum(0) / 2)
        answers.append(row)
        moved.append(torch.stack(distances))
    shape = len(CORRUPTIONS), len(STRENGTHS), -1
    joined = torch.stack([torch.cat(rows) for rows in zip(*answers, strict=True)]).view(shape)
    distance = (torch.stack(moved).sum(0) / len(split)).view(shape)
    return Robustness(part, split.labels.clone(), torch.cat(clean), joined, distance)


def _classified(predictor: Predictor, images: Tensor) -> tuple[Tensor, Tensor]:
    probabilities, routing = predictor(images)
    return probabilities.argmax(1), routing


def _shapes(count: int, predictor: Predictor) -> Sizes:
    cases = len(CORRUPTIONS), len(STRENGTHS)
    moved = *cases, predictor.settings.model.num_blocks
    return {"labels": (count,), "clean": (count,), "answers": (*cases, count), "moved": moved}


CORRUPTED = Measure(
    "corrupted",
    Robustness,
    lambda predictor, images, *how: corrupt_all(predictor, *images, *how),
    _shapes,
    ("labels", "clean", "answers"),
    shares=True,
)
cached_robustness = CORRUPTED.cached  # what `measure_robustness` has measured before, or None


def corruption_table(found: Robustness, blocks: Sequence[int]) -> pd.DataFrame:
    """Return a row per corruption and strength, beginning with strength 0, which is no corruption.

    The columns are corruption, strength, accuracy, change, low, high (fractions), and moved: the mean distance of the routing over
    these blocks (from 1).
    """
    rows, places = [], [block - 1 for block in blocks]
    for place, name in enumerate(CORRUPTIONS):
        for strength, answers in enumerate((found.clean, *found.answers[place])):
            change = paired_change(found.labels, found.clean, answers)
            moved = found.moved[place, strength - 1, places].mean().item() if strength else 0.0
            rows.append((name, strength, change["accuracy"], change["change"], change["low"], change["high"], moved))
    return pd.DataFrame(rows, columns=["corruption", "strength", "accuracy", "change", "low", "high", "moved"])


def corrupted_classes(found: Robustness, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return a row per class with images: class, accuracy without corruption, and the mean accuracy with each corruption."""
    rows = []
    for label in found.labels.unique().tolist():
        here = found.labels == label
        means = (found.answers[..., here] == label).double().mean((1, 2)).tolist()
        rows.append((classes[label], (found.clean[here] == label).double().mean().item(), *means))
    return pd.DataFrame(rows, columns=["class", "no corruption", *CORRUPTIONS])
