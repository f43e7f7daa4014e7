"""Predict classes and routing weights of images with a checkpoint of a run.

Inference runs on the CPU in float32, so that pages do not slow down training on the GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from expertnet.data.augment import normalize
from expertnet.data.datasets import DatasetInfo
from expertnet.errors import RunError
from expertnet.network.model import UNCHANGED, Changes, ExpertNet
from expertnet.settings.schema import Settings
from expertnet.store.run import Run
from expertnet.store.weights_files import Checkpoint
from expertnet.utils.files import version_of

BATCH = 64  # images; few enough for the memory of a laptop at any image size


@dataclass(frozen=True)
class Prediction:
    """A class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True, eq=False)
class Classification:
    """The answer of a network for one image."""

    predictions: tuple[Prediction, ...]  # the most likely classes, most likely first
    probabilities: Tensor  # (C,)
    routing: Tensor  # (B, K)


class Predictor:
    """A trained network and the dataset statistics that it needs."""

    def __init__(self, model: ExpertNet, settings: Settings, info: DatasetInfo, epoch: int) -> None:
        self.model, self.settings, self.info, self.epoch = model.eval(), settings, info, epoch
        self.classes, self.image_size = info.classes, info.image_size
        self.mean, self.std = torch.tensor(info.mean), torch.tensor(info.std)

    def __call__(self, images_N3SS: Tensor, changes: Changes = UNCHANGED) -> tuple[Tensor, Tensor]:
        """Return probabilities (N, C) and routing weights (N, B, K) of uint8 images, with `changes` to the routing."""
        with torch.inference_mode():
            logits, routing = self.model(self.normalized(images_N3SS), True, changes)
            return logits.softmax(1), routing

    def classify(self, images: Sequence[Tensor] | Tensor, top: int = 5) -> list[Classification]:
        """Classify uint8 images (3, S, S) in batches. Each answer has the `top` most likely classes."""
        answers = []
        for start in range(0, len(images), BATCH):
            probabilities_NC, routing_NBK = self(torch.stack(list(images[start : start + BATCH])))
            values, indices = probabilities_NC.topk(min(top, len(self.classes)))
            for row, (best, shares) in enumerate(zip(indices.tolist(), values.tolist(), strict=True)):
                predictions = (Prediction(self.classes[i], p) for i, p in zip(best, shares, strict=True))
                answers.append(Classification(tuple(predictions), probabilities_NC[row], routing_NBK[row]))
        return answers

    def normalized(self, images_N3SS: Tensor) -> Tensor:
        """Return uint8 images as the network takes them: normalized float32, channels last."""
        return normalize(images_N3SS, self.mean, self.std).contiguous(memory_format=torch.channels_last)


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
        run.check_network()  # which says more for a run that has ended
        raise RunError(
            f"Run {run.name} has not read its dataset yet, so it knows no classes; that comes with its first epoch."
        )
    weights, epoch = run.load_weights(checkpoint)
    with torch.device("meta"):  # so that settings of a huge network, which the weights do not fit, take no memory
        model = ExpertNet(settings.model, len(info.classes))
    try:
        model.load_state_dict({name: _as_computed(weight) for name, weight in weights.items()}, assign=True)
    except RuntimeError:
        raise RunError(
            f"The {checkpoint} checkpoint of run {run.name} belongs to another architecture than its config.json says."
        ) from None
    return Predictor(model.to(memory_format=torch.channels_last), settings, info, epoch)


def _as_computed(weight: Tensor) -> Tensor:
    """A copy in memory of its own, of the type that is computed with."""
    return weight.to(torch.float32, copy=True) if weight.is_floating_point() else weight.clone()
