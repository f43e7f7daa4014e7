"""The routing of a test set, computed once for a checkpoint and cached in the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
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
from expertnet.store.run import Run
from expertnet.store.status import TRAINING_STATES
from expertnet.store.weights_files import Checkpoint
from expertnet.utils.files import version_of, write_atomically
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent


@dataclass(frozen=True, eq=False)  # two are the same only if they are one, so that what is made of one is made once
class Routed:
    """What a network did with the images of its test set, in their order."""

    routing: Tensor  # (N, B, K) float32, kept as float16
    labels: Tensor  # (N,) int64
    predictions: Tensor  # (N,) int64: the likeliest class


def kept_routing(run: Run, checkpoint: Checkpoint = "best") -> Routed | None:
    """The routing of the test set as it lies in the run's folder; None where it is not there, or is another epoch's."""
    path = run.path / f"routing-{checkpoint}.safetensors"
    try:
        return _routed(path, load_predictor(run, checkpoint), version_of(path))
    except (RunError, OSError, SafetensorError, ValueError, KeyError):
        return None


@lru_cache(maxsize=32)
def _routed(path: Path, predictor: Predictor, version: tuple[int, ...]) -> Routed:
    """Raises ValueError where it is no routing of this network: files may come from elsewhere."""
    tensors = _read_kept(path, predictor.epoch, version)
    routing, labels, predictions = tensors["routing"].float(), tensors["labels"], tensors["predictions"]
    model, count = predictor.settings.model, len(labels)
    shapes = [tuple(tensor.shape) for tensor in (routing, labels, predictions)]
    if not count or shapes != [(count, model.num_blocks, model.num_experts), (count,), (count,)]:
        raise ValueError("of another network")
    if not ((routing >= 0).all() and torch.allclose(routing.sum(2), torch.ones(()), atol=0.01)):
        raise ValueError("no routing weights")
    for named in (labels, predictions):
        refuse_other_classes(named, len(predictor.classes))
    return Routed(routing, labels.long(), predictions.long())


def refuse_other_classes(named: Tensor, num_classes: int) -> None:
    """Raises ValueError where a tensor holds anything but numbers of classes."""
    if named.is_floating_point() or named.min() < 0 or named.max() >= num_classes:
        raise ValueError("no numbers of classes")


def load_own_test_set(run: Run, progress: Report = silent, cancelled: ShouldStop = never) -> tuple[Split, bool]:
    """The test set of a run's own data, and whether the data is what the run was trained on.

    Raises DatasetError where it is not there, cannot be read, or has other classes by now.
    """
    info = run.dataset_info()
    kept = cached_test_split(info) if info else None
    if kept is not None:
        return kept, True
    split, found = load_test_split(run.settings().data, progress, cancelled)
    if info is not None and found.classes != info.classes:
        raise DatasetError(
            f"The classes of {found.name} are no longer those that run {run.name} was trained on; "
            "bring its folders back, or train anew."
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
    """The routing of the test set `split`, computed by the batch once a checkpoint and kept in the run's folder."""
    predictor = load_predictor(run, checkpoint, threads)
    found = kept_routing(run, checkpoint)
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
    keep(run, "routing", checkpoint, predictor.epoch, tensors)
    return routed


def keep(run: Run, what: str, checkpoint: Checkpoint, epoch: int, tensors: dict[str, Tensor]) -> None:
    """Keeps tensors that belong to a checkpoint; not while the run trains, when its best epoch still changes."""
    if run.state not in TRAINING_STATES:
        write_atomically(run.path / f"{what}-{checkpoint}.safetensors", save(tensors, {"epoch": str(epoch)}))


def kept(run: Run, what: str, checkpoint: Checkpoint) -> dict[str, Tensor] | None:
    """What was kept for a checkpoint; None where it is not there, cannot be read, or is another epoch's."""
    path = run.path / f"{what}-{checkpoint}.safetensors"
    try:
        return _read_kept(path, load_predictor(run, checkpoint).epoch, version_of(path))
    except (RunError, OSError, SafetensorError, ValueError):
        return None


@lru_cache(maxsize=32)
def _read_kept(path: Path, epoch: int, version: tuple[int, ...]) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("epoch") != str(epoch):
            raise ValueError("of another epoch")
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
