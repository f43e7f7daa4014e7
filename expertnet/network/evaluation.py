"""Measures a network on a split: loss, accuracy, confusion matrix and routing."""

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from expertnet.data.augment import normalize
from expertnet.data.splits import Split
from expertnet.network import routing_metrics
from expertnet.network.model import ExpertNet

HARD_SHARE = 0.25  # of a batch: the images that are seen in six views, so that testing stays cheap
EVALUATION_BATCH = 500  # images; independent of training.batch_size, so that results do not depend on it


@dataclass(frozen=True)
class Evaluation:
    """The results of a network on N images of C classes, on the CPU."""

    loss: float  # mean cross entropy, nats
    accuracy: float  # fraction
    accuracy_mirrored: float | None  # with the logits of each image and its mirror image averaged; None if not measured
    accuracy_views: float | None  # with those of six views, see Evaluator; None if not measured
    confusion: Tensor  # (C, C) counts; rows are true classes, columns predicted ones
    routing: Tensor  # (N, B, K) float32
    labels: Tensor  # (N,)

    def routing_metrics(self, routed_blocks: Collection[int]) -> routing_metrics.RoutingFigures:
        """Return the figures of the routing. Entropy and information are None for blocks (from 1) without a router."""
        entropy = routing_metrics.entropy(self.routing).mean(0)
        information = routing_metrics.information(self.routing, self.labels, len(self.confusion))

        def of_experts(values: Tensor) -> list[float | None]:
            return [value if block in routed_blocks else None for block, value in enumerate(values.tolist(), 1)]

        return {
            "routing_entropy": of_experts(entropy),
            "routing_information": of_experts(information),
            "expert_usage": routing_metrics.usage(self.routing).tolist(),
        }


def batches(split: Split) -> list[Split]:
    """Cut a split into views of at most EVALUATION_BATCH images."""
    parts = (tensor.split(EVALUATION_BATCH) for tensor in (split.images, split.labels))
    return [Split(images, labels) for images, labels in zip(*parts, strict=True)]


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute in float32, without autocast and without the TF32 that NVIDIA GPUs use for convolutions by default."""
    cudnn = torch.backends.cudnn
    keep = {
        "benchmark": cudnn.benchmark,
        "benchmark_limit": cudnn.benchmark_limit,
    }  # perhaps of a training in another thread
    with torch.autocast(device.type, enabled=False), cudnn.flags(enabled=True, allow_tf32=False, **keep):
        yield


class _Rows:
    """Rows that come batch by batch, in one tensor. Small tensors left between large temporary ones would fragment the memory."""

    def __init__(self) -> None:
        self._rows, self._count = torch.empty(0), 0

    def add(self, rows_NX: Tensor) -> None:
        count = self._count + len(rows_NX)
        if count > len(self._rows):
            larger = torch.empty((2 * count, *rows_NX.shape[1:]), dtype=rows_NX.dtype, device=rows_NX.device)
            if self._count:
                larger[: self._count] = self._rows[: self._count]
            self._rows = larger
        self._rows[self._count : count] = rows_NX
        self._count = count

    def replace(self, rows_NX: Tensor) -> None:
        self._rows, self._count = rows_NX, len(rows_NX)

    def on_cpu(self) -> Tensor:
        return self._rows[: self._count].cpu()


class Evaluator:
    """Collects the outputs of a model in eval mode batch by batch, so that the caller can stop between batches.

    `mean` and `std` (3,) normalize the images and lie on the model's device; `autocast` sets the precision, by default float32.
    `mirrored` also measures `accuracy_mirrored`, which takes a second pass, and `views` `accuracy_views`: the least certain
    quarter of each batch is seen in six views, which are image and mirror image, centered and moved by one pixel along the
    diagonal, either way. The centered pair counts as much as the four others together (Jordan 2024, arXiv:2404.00498).
    """

    def __init__(
        self,
        model: ExpertNet,
        mean: Tensor,
        std: Tensor,
        autocast: Callable[[], AbstractContextManager[Any]] | None = None,
        mirrored: bool = False,
        views: bool = False,
    ) -> None:
        self.model, self.mean, self.std = model, mean, std
        self.autocast = autocast or partial(full_precision, mean.device)
        self.mirrored, self.views = mirrored or views, views
        self.logits, self.mirrored_logits, self.views_logits, self.routing, self.labels = (_Rows() for _ in range(5))

    def add(self, batch: Split) -> None:
        """Run the model on a batch."""
        images = batch.images.to(self.mean.device).to(memory_format=torch.channels_last)
        images = normalize(images, self.mean, self.std)
        with torch.inference_mode(), self.autocast():
            logits, routing = self.model(images, True)
            if self.mirrored:
                pair = logits.float() + self.model(images.flip(3)).float()
                self.mirrored_logits.add(pair)
                if self.views:
                    self.views_logits.add(self._six_views(images, pair))
        self.logits.add(logits.float())
        self.routing.add(routing.float())
        self.labels.add(batch.labels)

    def _six_views(self, images: Tensor, pair_NC: Tensor) -> Tensor:
        """Return `pair_NC`, the sum of the logits of the images and their mirror images, with the hard ones seen in six views."""
        hard = pair_NC.softmax(1).amax(1).argsort()[: math.ceil(HARD_SHARE * len(images))]
        size = images.shape[-1]
        padded = F.pad(images[hard], (1, 1, 1, 1), mode="reflect")
        moved = torch.zeros_like(pair_NC[hard])
        for start in (0, 2):
            view = padded[:, :, start : start + size, start : start + size]
            for each in (view, view.flip(3)):
                moved += self.model(each.contiguous(memory_format=torch.channels_last)).float()
        return pair_NC.index_copy(0, hard, (pair_NC[hard] + moved / 2) / 2)

    def merge(self, collect: Callable[[Tensor], Tensor]) -> None:
        """Replace the outputs so far by what `collect` makes of them: those of all processes."""
        for rows in (self.logits, self.mirrored_logits, self.views_logits, self.routing, self.labels):
            rows.replace(collect(rows.on_cpu()))

    def result(self) -> Evaluation:
        """Return the results on all batches so far, of which there must be at least one."""
        labels, logits = self.labels.on_cpu(), self.logits.on_cpu()
        confusion = torch.zeros(logits.shape[1], logits.shape[1], dtype=torch.int64)
        confusion.index_put_((labels, logits.argmax(1)), torch.ones_like(labels), accumulate=True)

        def accuracy_of(averaged: _Rows) -> float:
            return (averaged.on_cpu().argmax(1) == labels).float().mean().item()

        return Evaluation(
            loss=F.cross_entropy(logits, labels).item(),
            accuracy=confusion.trace().item() / len(labels),
            accuracy_mirrored=accuracy_of(self.mirrored_logits) if self.mirrored else None,
            accuracy_views=accuracy_of(self.views_logits) if self.views else None,
            confusion=confusion,
            routing=self.routing.on_cpu(),
            labels=labels,
        )


def evaluate(
    model: ExpertNet,
    split: Split,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    mirrored: bool = False,
    views: bool = False,
) -> Evaluation:
    """Measure a model on a split, in float32 on the model's device. Leaves the model in eval mode."""
    device = next(model.parameters()).device
    means, stds = (torch.tensor(values, device=device) for values in (mean, std))
    evaluator = Evaluator(model.eval(), means, stds, mirrored=mirrored, views=views)
    for batch in batches(split):
        evaluator.add(batch)
    return evaluator.result()
