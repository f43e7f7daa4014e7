"""What changed routing does to the answers on the test set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import Routed, keep, kept, kept_routing, refuse_other_classes
from expertnet.network.evaluation import EVALUATION_BATCH
from expertnet.store.run import Run
from expertnet.store.weights_files import Checkpoint
from expertnet.utils.files import version_of
from expertnet.utils.progress import ShouldStop, raise_if_cancelled

POLICIES = {
    "learned": "as the network routes",
    "uniform": "1/K for every expert",
    "first": "each image's first expert alone",
    "mean": "the mean weights of the test set",
    "class": "the mean weights of the image's true class",
    "shuffled": "the weights of another image, drawn at random",
}


@dataclass(frozen=True, eq=False)  # as Routed
class Effects:
    """The classes that the network named for the test images under a number of changes."""

    labels: Tensor  # (N,)
    learned: Tensor  # (N,): with the network's own routing
    changed: Tensor  # (..., N): (B, K, N) with an expert silenced, (6, N) under the POLICIES


def in_batches(split: Split, cancelled: ShouldStop) -> Iterator[tuple[slice, float]]:
    """The test set in batches, each with the share that lies before it. Raises Cancelled where that is asked for."""
    for start in range(0, len(split), EVALUATION_BATCH):
        raise_if_cancelled(cancelled)
        yield slice(start, start + EVALUATION_BATCH), start / len(split)


def cached_effects(run: Run, what: str, checkpoint: Checkpoint = "best") -> Effects | None:
    """What was measured before: `what` is "policies", or ablation_name(renormalise)."""
    routed = kept_routing(run, checkpoint)
    try:
        version = version_of(run.path / f"{what}-{checkpoint}.safetensors")
    except OSError:
        return None
    return _effects(run.path, what, checkpoint, version, routed) if routed is not None else None


@lru_cache(maxsize=16)
def _effects(path: Path, what: str, checkpoint: Checkpoint, version: tuple[int, ...], routed: Routed) -> Effects | None:
    run = Run(path)
    tensors = kept(run, what, checkpoint)
    if tensors is None:
        return None
    count, blocks, experts = routed.routing.shape
    changed, info = tensors.get("changed"), run.dataset_info()
    shape = (len(POLICIES), count) if what == "policies" else (blocks, experts, count)
    if changed is None or info is None or tuple(changed.shape) != shape:
        return None
    try:
        refuse_other_classes(changed, len(info.classes))
    except ValueError:
        return None
    return Effects(routed.labels, routed.predictions, changed.long())


def save_effects(effects: Effects, what: str, run: Run, checkpoint: Checkpoint, predictor: Predictor) -> Effects:
    few = torch.uint8 if len(predictor.classes) <= 256 else torch.int16
    keep(run, what, checkpoint, predictor.epoch, {"changed": effects.changed.to(few)})
    return effects


def paired_change(effects: Effects, changed_N: Tensor) -> dict[str, float]:
    """Accuracy under a change, and its difference from the network's own with a 95% interval.

    The interval is of the paired difference (each image is its own control), in the normal approximation.
    """
    right, before = (changed_N == effects.labels).double(), (effects.learned == effects.labels).double()
    difference = right - before
    half = 1.96 * float(difference.std(correction=0)) / len(difference) ** 0.5
    change = float(difference.mean())
    return {
        "accuracy": float(right.mean()),
        "change": change,
        "low": change - half,
        "high": change + half,
        "flipped": int((changed_N != effects.learned).sum()),
    }


def flipped(effects: Effects, block: int, expert: int) -> list[int]:
    """The images that get another class when an expert (from 1) is silenced."""
    return (effects.changed[block - 1, expert - 1] != effects.learned).nonzero()[:, 0].tolist()
