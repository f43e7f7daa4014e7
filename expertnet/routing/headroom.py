"""Oracle headroom: which mistakes of a trained network other routing weights would repair.

For each mistake, gradient descent looks for the weights that make the image's true class the most likely. No router knows that
class, so this bounds what a better router could gain, as far as the search finds the best weights. Weights might also be found
for any other class. As a control, the same search therefore looks for weights that lead to another wrong class, the one that the network
holds about as likely as the true one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import in_batches
from expertnet.network.model import UNCHANGED, Changes
from expertnet.routing.effects import Images
from expertnet.routing.interventions import given
from expertnet.routing.measure import Measure, Sizes
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

MISTAKES = 400  # that the search looks at
STEPS, RATE = 40, 0.3  # of Adam (Kingma and Ba 2014, arXiv:1412.6980) on the logarithms of the weights
MIXED = 0.1  # share of equal weights in the first ones, since a weight of 0 has no gradient
BATCH = 64  # images whose activations are held for the gradient

Outputs = Callable[[Tensor, Changes], tuple[Tensor, Tensor]]  # images of a split -> logits (N, C) and weights (N, B, K)


@dataclass(frozen=True, eq=False)  # compared by identity, to serve as a cache key
class Headroom:
    """The answers for N images as shipped, and with the weights found for them. Only mistakes are looked at."""

    part: Part
    labels: Tensor  # (N,): true classes
    learned: Tensor  # (N,): with the network's own routing
    found: Tensor  # (N,): with the best weights found for the true class
    others: Tensor  # (N,): the wrong class of the control; the true one if there is none
    toward: Tensor  # (N,): with the best weights found for that class
    moved: Tensor  # (N, B): total variation distance of the weights found for the true class from the learned ones


def search_headroom(
    predictor: Predictor, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Headroom:
    """Look for better weights for up to MISTAKES mistakes. With more, only a random part of the images counts."""
    return search(outputs_of(predictor), predictor.settings.model.routed_blocks, images, progress, cancelled)


def outputs_of(predictor: Predictor) -> Outputs:
    """Return the function from images to outputs of one of the studio's networks."""
    return lambda images, changes: predictor.model(predictor.normalized(images), True, changes)


def search(
    outputs: Outputs, blocks: Sequence[int], images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Headroom:
    """Do what `search_headroom` does with any network, whose `blocks` (from 1) have experts."""
    split, batches = images.evaluated, []
    with torch.no_grad():
        for here, share in in_batches(split, cancelled):
            progress("Looking for mistakes", share)
            batches.append(outputs(split.images[here], UNCHANGED)[0].softmax(1))
    probabilities_NC = torch.cat(batches)
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    wrong = (probabilities_NC.argmax(1) != split.labels)[order].cumsum(0)
    counted_N = order[: int((wrong <= MISTAKES).sum())].sort().values
    labels, probabilities_NC = split.labels[counted_N], probabilities_NC[counted_N]
    learned = probabilities_NC.argmax(1)
    others = equally_likely(probabilities_NC, labels)
    found, toward = learned.clone(), learned.clone()
    moved = torch.zeros(len(labels), len(blocks))
    mistakes = (learned != labels).nonzero()[:, 0]
    for done, some in enumerate(mistakes.split(BATCH) if len(mistakes) else ()):
        raise_if_cancelled(cancelled)
        progress("Looking for better weights", done * BATCH / len(mistakes))
        pixels = split.images[counted_N[some]]
        found[some], moved[some] = best_weights(outputs, blocks, pixels, labels[some], cancelled)
        toward[some] = best_weights(outputs, blocks, pixels, others[some], cancelled)[0]
    return Headroom(images.part, labels, learned, found, others, toward, moved)


def equally_likely(probabilities_NC: Tensor, labels_N: Tensor) -> Tensor:
    """Return for each image the class, neither its own nor the answer, whose probability is nearest to that of its own, as a ratio.

    Without a third class, it is the image's own.
    """
    log_NC = probabilities_NC.double().clamp_min(1e-30).log()
    distance_NC = (log_NC - log_NC.gather(1, labels_N[:, None])).abs()
    distance_NC.scatter_(1, probabilities_NC.argmax(1, keepdim=True), torch.inf)
    distance_NC.scatter_(1, labels_N[:, None], torch.inf)
    nearest = distance_NC.min(1)
    return torch.where(nearest.values.isinf(), labels_N, nearest.indices)


def best_weights(
    outputs: Outputs, blocks: Sequence[int], images: Tensor, classes_N: Tensor, cancelled: ShouldStop = never
) -> tuple[Tensor, Tensor]:
    """Return the answers (N,) with the weights that make these classes the most likely, and how far the weights moved: (N, B).

    Only `blocks` (from 1) count. The search begins near the learned weights, and these count as its first result.
    """
    places = [block - 1 for block in blocks]
    with torch.no_grad():
        logits_NC, routing_NBK = outputs(images, UNCHANGED)
    learned_NBK = routing_NBK[:, places]
    best_N = cross_entropy(logits_NC, classes_N, reduction="none")
    answers_N, kept_NBK = logits_NC.argmax(1), learned_NBK.clone()
    near_NBK = (1 - MIXED) * learned_NBK + MIXED / learned_NBK.shape[2]
    with torch.enable_grad():
        theta_NBK = near_NBK.log().requires_grad_()
        optimizer = torch.optim.Adam([theta_NBK], RATE)
        for _ in range(STEPS):
            raise_if_cancelled(cancelled)
            weights_NBK = theta_NBK.softmax(2)
            changes = {block: given(weights_NBK[:, place]) for place, block in enumerate(blocks)}
            logits_NC, _ = outputs(images, changes)
            loss_N = cross_entropy(logits_NC, classes_N, reduction="none")
            theta_NBK.grad = torch.autograd.grad(loss_N.sum(), theta_NBK)[0]
            optimizer.step()
            better_N = loss_N.detach() < best_N
            best_N = torch.where(better_N, loss_N.detach(), best_N)
            answers_N = torch.where(better_N, logits_NC.detach().argmax(1), answers_N)
            kept_NBK = torch.where(better_N[:, None, None], weights_NBK.detach(), kept_NBK)
    return answers_N, (kept_NBK - learned_NBK).abs().sum(2) / 2


def _shapes(count: int, predictor: Predictor) -> Sizes:
    sizes: Sizes = dict.fromkeys(("labels", "learned", "found", "others", "toward"), (count,))
    return sizes | {"moved": (count, len(predictor.settings.model.routed_blocks))}


CLASSES = ("labels", "learned", "found", "others", "toward")
HEADROOM = Measure("headroom", Headroom, search_headroom, _shapes, CLASSES)
