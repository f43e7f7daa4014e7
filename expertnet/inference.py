"""A run's checkpoint -> predictions and routing weights for pictures.

In this module: Predictor, load_predictor; of the test set Routed, kept_routing, route_test_set. Everything computes on the
CPU in float32, so that a page's inference does not disturb a training on the GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from expertnet.augment import normalize
from expertnet.config import Settings
from expertnet.datasets import DatasetInfo, Split
from expertnet.evaluation import EVALUATION_BATCH
from expertnet.files import version_of, write_atomically
from expertnet.model import ExpertNet
from expertnet.runs import Checkpoint, Run, RunError


class Predictor:
    """A trained network with what it needs to read pictures."""

    def __init__(self, model: ExpertNet, settings: Settings, info: DatasetInfo, epoch: int) -> None:
        self.model, self.settings, self.info, self.epoch = model.eval(), settings, info, epoch
        self.classes, self.image_size = info.classes, info.image_size
        self.mean, self.std = torch.tensor(info.mean), torch.tensor(info.std)

    def __call__(self, images_N3SS: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 pictures -> probabilities (N, classes) and routing weights (N, B, K)."""
        with torch.inference_mode():
            logits, routing = self.model(
                normalize(images_N3SS, self.mean, self.std).contiguous(memory_format=torch.channels_last), True
            )
            return logits.softmax(1), routing


def load_predictor(run: Run, checkpoint: Checkpoint = "best", threads: int | None = None) -> Predictor:
    """The network of a run; kept in memory until its checkpoint changes.

    `threads` sets how many the calling thread computes with: one, beside a training, is many times quicker than two.
    Raises RunError where there is nothing to load yet, or what there is does not fit.
    """
    if threads:
        torch.set_num_threads(threads)
    path = run.checkpoint_path(checkpoint)
    return _load(run.path, checkpoint, version_of(path) if path.is_file() else ())


@lru_cache(maxsize=8)
def _load(path: Path, checkpoint: Checkpoint, version: tuple[int, ...]) -> Predictor:
    run = Run(path)
    settings, info = run.settings(), run.dataset_info()
    if info is None:
        raise RunError(
            f"Run {run.name} has not read its data set yet, so it knows no classes; that comes with its first epoch."
        )
    weights, epoch = run.load_weights(checkpoint)
    model = ExpertNet(settings.model, len(info.classes))
    try:
        model.load_state_dict(weights)
    except RuntimeError:
        raise RunError(
            f"The {checkpoint} checkpoint of run {run.name} belongs to another architecture than its config.json says."
        ) from None
    return Predictor(model.to(memory_format=torch.channels_last), settings, info, epoch)  # type: ignore[call-overload]


@dataclass(frozen=True)
class Routed:
    """What a network did with the pictures of its test set, in their order."""

    routing: Tensor  # (N, B, K) float32, kept as float16
    labels: Tensor  # (N,) int64
    predictions: Tensor  # (N,) int64: the likeliest class


def kept_routing(run: Run, checkpoint: Checkpoint = "best") -> Routed | None:
    """The routing of the test set as it lies in the run's folder; None where it is not there, or is another epoch's."""
    path = _routing_path(run, checkpoint)
    try:
        return _read_routed(path, load_predictor(run, checkpoint).epoch, version_of(path))
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def route_test_set(
    run: Run,
    split: Split,
    checkpoint: Checkpoint = "best",
    progress: Callable[[float], object] = lambda share: None,
    threads: int | None = None,
) -> Routed:
    """The routing of the test set `split`, computed by the batch once a checkpoint and kept in the run's folder."""
    predictor = load_predictor(run, checkpoint, threads)
    kept = kept_routing(run, checkpoint)
    if kept is not None and torch.equal(kept.labels, split.labels):
        return kept
    weights, predictions = [], []
    for start in range(0, len(split), EVALUATION_BATCH):
        progress(start / len(split))
        probabilities, routing = predictor(split.images[start : start + EVALUATION_BATCH])
        weights.append(routing)
        predictions.append(probabilities.argmax(1))
    routed = Routed(torch.cat(weights).half().float(), split.labels.clone(), torch.cat(predictions))
    if run.state not in ("running", "stopping"):  # while it trains, the best epoch still changes
        tensors = {
            "routing": routed.routing.half(),
            "labels": routed.labels.to(torch.int16),
            "predictions": routed.predictions.to(torch.int16),
        }
        write_atomically(_routing_path(run, checkpoint), save(tensors, {"epoch": str(predictor.epoch)}))
    return routed


def _routing_path(run: Run, checkpoint: Checkpoint) -> Path:
    return run.path / f"routing-{checkpoint}.safetensors"


@lru_cache(maxsize=8)
def _read_routed(path: Path, epoch: int, version: tuple[int, ...]) -> Routed:
    with safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("epoch") != str(epoch):
            raise ValueError("of another epoch")
        return Routed(
            file.get_tensor("routing").float(), file.get_tensor("labels").long(), file.get_tensor("predictions").long()
        )
