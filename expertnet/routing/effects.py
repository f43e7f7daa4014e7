"""The effects of changed routing on the test set: cached results, and their comparison with the learned routing."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import (
    UNUSABLE,
    Routed,
    cache_path,
    cache_tensors,
    cached_routing,
    check_classes,
    read_tensors,
)
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.utils.files import cached_on_file

POLICIES = {
    "learned": "the network's own routing",
    "uniform": "equal weights, 1/K each",
    "first": "only each image's top expert",
    "mean": "mean weights of the test set",
    "class": "mean weights of the image's true class",
    "shuffled": "weights of another image, drawn at random",
}


@dataclass(frozen=True, eq=False)  # compared by identity, as Routed, to serve as a cache key
class Effects:
    """The classes predicted for N test images, with the learned routing and with changed routings."""

    labels: Tensor  # (N,): true classes
    learned: Tensor  # (N,)
    changed: Tensor  # (B, K, N) with each expert ablated, or (len(POLICIES), N)


def cached_effects(run: Run, what: str, checkpoint: Checkpoint = "best") -> Effects | None:
    """Return effects measured before, or None. `what` is "policies" or an `ablation_name`."""
    routed = cached_routing(run, checkpoint)
    if routed is None:
        return None
    try:
        return _read_effects(cache_path(run, what, checkpoint), what, routed, load_predictor(run, checkpoint))
    except UNUSABLE:
        return None


@cached_on_file(maxsize=16)
def _read_effects(path: Path, what: str, routed: Routed, predictor: Predictor) -> Effects:
    """Return the effects in a file. Raises ValueError if they cannot be of this network and this test set."""
    tensors, images = read_tensors(path, predictor)
    if images != routed.images:  # perhaps in another order
        raise ValueError("measured with another routing")
    changed = tensors["changed"]
    count, blocks, experts = routed.routing.shape
    if tuple(changed.shape) != ((len(POLICIES), count) if what == "policies" else (blocks, experts, count)):
        raise ValueError("not the shape of such effects")
    check_classes(changed, len(predictor.classes))
    return Effects(routed.labels, routed.predictions, changed.long())


def save_effects(effects: Effects, what: str, run: Run, checkpoint: Checkpoint, predictor: Predictor) -> Effects:
    """Cache effects in the run's folder and return them."""
    few = torch.uint8 if len(predictor.classes) <= 256 else torch.int16
    cache_tensors(run, what, checkpoint, predictor, {"changed": effects.changed.to(few)})
    return effects


def paired_change(effects: Effects, changed_N: Tensor) -> dict[str, float]:
    """Compare changed predictions with the learned routing's: accuracy, change, low, high (fractions) and flipped (a count).

    low and high bound a 95% interval of the paired difference (each image is its own control), by normal approximation.
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
    """Return the images (from 0) that get another class when an expert (block and expert from 1) is ablated."""
    return (effects.changed[block - 1, expert - 1] != effects.learned).nonzero()[:, 0].tolist()
