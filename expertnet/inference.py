"""A run's checkpoint -> predictions and routing weights for pictures.

In this module: Predictor, load_predictor, split_routing. Everything computes on the CPU in float32, so that a page's
inference does not disturb a training on the GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
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


def split_routing(
    run: Run,
    split: Split,
    checkpoint: Checkpoint = "best",
    progress: Callable[[float], object] = lambda share: None,
    threads: int | None = None,
) -> Tensor:
    """The routing weights (N, B, K) of a split, computed by the batch once a checkpoint and kept in the run's folder."""
    path = run.path / f"routing-{checkpoint}.safetensors"
    predictor = load_predictor(run, checkpoint, threads)
    key = f"epoch{predictor.epoch}-n{len(split)}"
    try:
        return load_file(path)[key].float()
    except (OSError, SafetensorError, KeyError):
        pass  # not computed yet, or for another epoch
    parts = []
    for start in range(0, len(split), EVALUATION_BATCH):
        progress(start / len(split))
        parts.append(predictor(split.images[start : start + EVALUATION_BATCH])[1])
    weights = torch.cat(parts)
    if run.state not in ("running", "stopping"):  # while it trains, the best epoch still changes
        write_atomically(path, save({key: weights.half()}))
    return weights
