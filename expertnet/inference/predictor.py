"""Predict classes and routing weights of images with a checkpoint of a run.

Inference runs on the CPU in float32, so that pages do not slow down training on the GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from expertnet.data.augment import normalize
from expertnet.data.info import DatasetInfo
from expertnet.errors import RunError
from expertnet.network.gates import channel_deviations, channel_means
from expertnet.network.model import UNCHANGED, Changes, ExpertNet
from expertnet.network.pretrained import in_float32
from expertnet.settings.schema import Settings
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.checks import load_weights
from expertnet.store.reader import read_dataset_info
from expertnet.store.run import Run
from expertnet.utils.files import cached_on_file

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
    features: Tensor  # (F,): see Predictor.look

    def calibrated(self, temperature: float) -> "Classification":
        """Return the answer with the probabilities of the logits divided by a temperature, which keeps their order."""
        probabilities_C = calibrated(self.probabilities, temperature)
        highest = probabilities_C.topk(len(self.predictions)).values.tolist()
        predictions = (Prediction(each.label, p) for each, p in zip(self.predictions, highest, strict=True))
        return replace(self, predictions=tuple(predictions), probabilities=probabilities_C)


def calibrated(probabilities: Tensor, temperature: float) -> Tensor:
    """Return the probabilities (..., C) of the logits divided by a temperature."""
    return (probabilities.log() / temperature).softmax(-1)


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

    def look(self, images_N3SS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return probabilities (N, C), routing weights (N, B, K) and features (N, F) of uint8 images.

        The features are the spatial mean and standard deviation of every channel that leaves a block.
        """
        with torch.inference_mode():
            return look(self.model, self.normalized(images_N3SS))

    def classify(self, images: Sequence[Tensor] | Tensor, top: int = 5) -> list[Classification]:
        """Classify uint8 images (3, S, S) in batches. Each answer has the `top` most likely classes."""
        answers = []
        for start in range(0, len(images), BATCH):
            probabilities_NC, routing_NBK, features_NF = self.look(torch.stack(list(images[start : start + BATCH])))
            values, indices = probabilities_NC.topk(min(top, len(self.classes)))
            for row, (best, shares) in enumerate(zip(indices.tolist(), values.tolist(), strict=True)):
                predictions = (Prediction(self.classes[i], p) for i, p in zip(best, shares, strict=True))
                outputs = probabilities_NC[row], routing_NBK[row], features_NF[row]
                answers.append(Classification(tuple(predictions), *outputs))
        return answers

    def normalized(self, images_N3SS: Tensor) -> Tensor:
        """Return uint8 images as the network takes them: normalized float32, channels last."""
        return normalize(images_N3SS, self.mean, self.std).contiguous(memory_format=torch.channels_last)


def look(net: ExpertNet, x_NCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `Predictor.look` does, of normalized images."""
    x_NCHW, routing, features = net.stem(x_NCHW), list[Tensor](), list[Tensor]()
    for number, block in enumerate(net.backbone.blocks, start=1):
        x_NCHW, weights_NK = block(x_NCHW)
        x_NCHW = net.backbone.pool(number, x_NCHW)
        routing.append(F.pad(weights_NK, (0, net.backbone.num_experts - weights_NK.shape[1])))
        features += [channel_means(x_NCHW), channel_deviations(x_NCHW)]
    return net.classifier(x_NCHW).softmax(1), torch.stack(routing, 1), torch.cat(features, 1)


def load_predictor(run: Run, checkpoint: Checkpoint = "best", threads: int | None = None) -> Predictor:
    """Return the network of a run, cached until its checkpoint changes.

    `threads` sets the calling thread's number of threads. Use one while a training runs: that is many times faster than two.
    Raises RunError if there is no usable checkpoint.
    """
    if threads:
        torch.set_num_threads(threads)
    path = run.checkpoints.path(checkpoint)
    if not path.is_file():
        load_weights(run, checkpoint)  # raises the RunError that says why
    return _load(path)


@cached_on_file(maxsize=8)
def _load(path: Path) -> Predictor:
    run, checkpoint = Run(path.parent), path.stem
    settings, info = run.settings(), read_dataset_info(run.path)
    weights, epoch = load_weights(run, checkpoint)
    with torch.device("meta"):  # a network that the weights do not fit may be too large for the memory
        model = ExpertNet(settings.model, len(info.classes))
    try:
        model.load_state_dict({name: in_float32(weight) for name, weight in weights.items()}, assign=True)
    except RuntimeError:
        raise RunError(
            f"The {checkpoint} checkpoint of run {run.name} does not fit the network in its config.json."
        ) from None
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise RunError(
            f"The {checkpoint} checkpoint of run {run.name} has weights that are not finite numbers, so its network has no answers. "
            "Choose another checkpoint or run."
        )
    return Predictor(model.to(memory_format=torch.channels_last), settings, info, epoch)
