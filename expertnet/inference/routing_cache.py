"""The routing of a test set, computed once per checkpoint and cached in the run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from expertnet.data.datasets import cached_test_split, load_test_split
from expertnet.data.splits import Split
from expertnet.errors import DatasetError, RunError
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.network.evaluation import EVALUATION_BATCH
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.store.status import TRAINING_STATES
from expertnet.utils.files import cached_on_file, write_atomically
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent


@dataclass(frozen=True, eq=False)  # compared by identity, to serve as a cache key
class Routed:
    """The outputs of a network on the N images of a test set, in their order."""

    routing: Tensor  # (N, B, K) float32, stored as float16
    labels: Tensor  # (N,) int64: true classes
    predictions: Tensor  # (N,) int64: predicted classes


def cache_path(run: Run, what: str, checkpoint: Checkpoint) -> Path:
    """Return the file of the cached tensors `what` of a checkpoint."""
    return run.path / f"{what}-{checkpoint}.safetensors"


def cached_routing(run: Run, checkpoint: Checkpoint = "best") -> Routed | None:
    """Return the cached routing of the test set; None if there is none for this epoch or it is damaged."""
    try:
        return _read_routed(cache_path(run, "routing", checkpoint), load_predictor(run, checkpoint))
    except (RunError, OSError, SafetensorError, ValueError, KeyError):
        return None


@cached_on_file(maxsize=32)
def _read_routed(path: Path, predictor: Predictor) -> Routed:
    """Return the routing in a file. Raises ValueError if it cannot come from this network, as imported files may."""
    tensors = _read_tensors(path, predictor.epoch)
    routing, labels, predictions = tensors["routing"].float(), tensors["labels"], tensors["predictions"]
    model, count = predictor.settings.model, len(labels)
    shapes = [tuple(tensor.shape) for tensor in (routing, labels, predictions)]
    if not count or shapes != [(count, model.num_blocks, model.num_experts), (count,), (count,)]:
        raise ValueError("not the shape of this network's routing")
    if not ((routing >= 0).all() and torch.allclose(routing.sum(2), torch.ones(()), atol=0.01)):
        raise ValueError("not routing weights")
    for classes in (labels, predictions):
        check_classes(classes, len(predictor.classes))
    return Routed(routing, labels.long(), predictions.long())


def check_classes(classes: Tensor, num_classes: int) -> None:
    """Raise ValueError unless a tensor holds indices of classes only."""
    if classes.is_floating_point() or classes.min() < 0 or classes.max() >= num_classes:
        raise ValueError("not indices of classes")


def load_own_test_set(run: Run, progress: Report = silent) -> tuple[Split, bool]:
    """Return the test set of a run's dataset, and whether the dataset is unchanged since the training.

    Raises DatasetError if it is missing, cannot be read, or has other classes now.
    """
    info = run.dataset_info()
    cached = cached_test_split(info) if info else None
    if cached is not None:
        return cached, True
    split, found = load_test_split(run.settings().data, progress)
    if info is not None and found.classes != info.classes:
        raise DatasetError(
            f"The classes of {found.name} have changed since run {run.name} was trained. "
            "Restore the class folders or train a new run."
        )
    same = info is not None and found.fingerprint.rpartition("-v")[0] == info.fingerprint.rpartition("-v")[0]
    return split, same


def route_test_set(
    run: Run,
    split: Split,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    threads: int | None = None,
    cancelled: ShouldStop = never,
) -> Routed:
    """Return the routing of the test set `split`, from the cache if it is there, else computed and cached."""
    predictor = load_predictor(run, checkpoint, threads)
    found = cached_routing(run, checkpoint)
    if found is not None and torch.equal(found.labels, split.labels):
        return found
    weights, predictions = [], []
    for start in range(0, len(split), EVALUATION_BATCH):
        raise_if_cancelled(cancelled)
        progress("Routing the test images", start / len(split))
        probabilities, routing = predictor(split.images[start : start + EVALUATION_BATCH])
        weights.append(routing)
        predictions.append(probabilities.argmax(1))
    routed = Routed(torch.cat(weights).half().float(), split.labels.clone(), torch.cat(predictions))
    tensors = {
        "routing": routed.routing.half(),
        "labels": routed.labels.to(torch.int16),
        "predictions": routed.predictions.to(torch.int16),
    }
    cache_tensors(run, "routing", checkpoint, predictor.epoch, tensors)
    return routed


def cache_tensors(run: Run, what: str, checkpoint: Checkpoint, epoch: int, tensors: dict[str, Tensor]) -> None:
    """Store tensors computed with a checkpoint in the run's folder, unless the run is training and its best epoch may change."""
    if run.state not in TRAINING_STATES:
        write_atomically(cache_path(run, what, checkpoint), save(tensors, {"epoch": str(epoch)}))


def cached_tensors(run: Run, what: str, checkpoint: Checkpoint) -> dict[str, Tensor] | None:
    """Return the cached tensors of a checkpoint; None if there are none for its epoch or they are damaged."""
    try:
        return _read_tensors(cache_path(run, what, checkpoint), load_predictor(run, checkpoint).epoch)
    except (RunError, OSError, SafetensorError, ValueError):
        return None


@cached_on_file(maxsize=32)
def _read_tensors(path: Path, epoch: int) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("epoch") != str(epoch):
            raise ValueError("computed for another epoch")
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
