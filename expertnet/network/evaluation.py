"""A network on a split: loss, accuracy, confusion and routing_metrics.

In this module: Evaluation, evaluating (a generator, so that training can stop between batches) and evaluate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from expertnet.data.augment import normalize
from expertnet.data.splits import Split
from expertnet.network import routing_metrics
from expertnet.network.model import ExpertNet

EVALUATION_BATCH = 500  # images; its own number, so that a figure does not depend on the training batch


@dataclass(frozen=True)
class Evaluation:
    loss: float  # mean cross entropy, nats
    accuracy: float  # fraction
    accuracy_mirrored: float | None  # of the mean logits of each image and its mirror image, where that was asked for
    confusion: Tensor  # (classes, classes) counts, row the true class
    routing: Tensor  # (N, B, K) float32, on the CPU
    labels: Tensor  # (N,)

    def routing_metrics(self) -> dict[str, Any]:
        """The routing figures of a metrics line."""
        return {
            "routing_entropy": routing_metrics.entropy(self.routing).mean(0).tolist(),
            "routing_information": routing_metrics.information(self.routing, self.labels, len(self.confusion)).tolist(),
            "expert_usage": routing_metrics.usage(self.routing).tolist(),
        }


def evaluating(
    forward: Callable[..., Any],
    split: Split,
    mean: Tensor,
    std: Tensor,
    num_classes: int,
    autocast: Callable[[], AbstractContextManager[Any]],
    mirrored: bool = False,
) -> Generator[tuple[int, int], None, Evaluation]:
    """Evaluates batch by batch, yielding (done, of) before each, and returns the Evaluation. The model is in eval mode."""
    device = mean.device
    logits, both, weights = [], [], []
    batches = math.ceil(len(split) / EVALUATION_BATCH)
    for number in range(batches):
        yield number, batches
        images = split.images[number * EVALUATION_BATCH : (number + 1) * EVALUATION_BATCH].to(device)
        images = images.to(memory_format=torch.channels_last)
        images = normalize(images, mean, std)
        with torch.inference_mode(), autocast():
            batch_logits, batch_weights = forward(images, True)
            if mirrored:
                both.append(batch_logits.float() + forward(images.flip(3)).float())
        logits.append(batch_logits.float())
        weights.append(batch_weights.float())
    labels = split.labels.cpu()
    all_logits = torch.cat(logits).cpu()
    confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    confusion.index_put_((labels, all_logits.argmax(1)), torch.ones_like(labels), accumulate=True)
    return Evaluation(
        loss=F.cross_entropy(all_logits, labels).item(),
        accuracy=confusion.trace().item() / len(labels),
        accuracy_mirrored=(torch.cat(both).cpu().argmax(1) == labels).float().mean().item() if mirrored else None,
        confusion=confusion,
        routing=torch.cat(weights).cpu(),
        labels=labels,
    )


def evaluate(
    model: ExpertNet,
    split: Split,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    num_classes: int,
    on_batch: Callable[[int, int], None] = lambda done, of: None,
    mirrored: bool = False,
) -> Evaluation:
    """A model's loss, accuracy, confusion and routing on a split, in float32 on the model's device."""
    device = next(model.parameters()).device
    model.eval()
    batches = evaluating(
        model,
        split,
        torch.tensor(mean, device=device),
        torch.tensor(std, device=device),
        num_classes,
        lambda: torch.autocast(device.type, enabled=False),
        mirrored,
    )
    while True:
        try:
            on_batch(*next(batches))
        except StopIteration as end:
            return end.value
