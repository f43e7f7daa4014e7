"""How far small changes of an image move its routing weights, compared with how far those of two images are apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from expertnet.data.augment import augment
from expertnet.data.datasets import flips
from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import in_batches
from expertnet.routing.corruptions import CORRUPTIONS, corrupted
from expertnet.routing.effects import Images
from expertnet.routing.measure import Measure, Sizes
from expertnet.routing.paired import Z95
from expertnet.utils.progress import Report, ShouldStop, never, silent

IMAGES = 1000  # at most
AUGMENTED = "augmentation"  # a random crop and a mirroring as in training
VARIANTS = (AUGMENTED, *CORRUPTIONS)
CONSTANT = 0.02  # mean distance between images, below which a block's routing does not tell images apart


@dataclass(frozen=True, eq=False)  # compared by identity, to serve as a cache key
class Stability:
    """Total variation distances of routing weights, of N images in B blocks. Only blocks with experts count."""

    part: Part
    labels: Tensor  # (N,): true classes of the images
    moved: Tensor  # (len(VARIANTS), N, B): of an image from its variant
    between: Tensor  # (N, B): of an image from the others, on average


def measure_stability(
    predictor: Predictor, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Stability:
    """Route variants of at most IMAGES images, chosen at random, with the network as shipped."""
    order = torch.randperm(len(images.evaluated), generator=torch.Generator().manual_seed(0))[:IMAGES]
    split = images.evaluated.take(order)
    data = predictor.settings.data.model_copy(update={"cutout": 0})  # an erased square is damage, not another view

    def routed(pixels: Tensor, done: int) -> Tensor:
        batches = []
        for here, share in in_batches(split, cancelled):
            progress("Routing variants of the images", (done + share) / (1 + len(VARIANTS)))
            batches.append(predictor(pixels[here])[1])
        blocks = [block - 1 for block in predictor.settings.model.routed_blocks]
        return torch.cat(batches)[:, blocks]

    own_NBK, moved = routed(split.images, 0), []
    for done, variant in enumerate(VARIANTS, start=1):
        if variant == AUGMENTED:
            pixels = augment(split.images, data, flips(data), torch.Generator().manual_seed(0))
        else:
            pixels = corrupted(variant, split.images)
        moved.append((routed(pixels, done) - own_NBK).abs().sum(2) / 2)
    return Stability(images.part, split.labels, torch.stack(moved), distance_to_others(own_NBK))


def distance_to_others(routing_NBK: Tensor) -> Tensor:
    """Return the mean total variation distance of each image's weights from those of the others: (N, B)."""
    distances = [
        torch.cdist(block_NK.double(), block_NK.double(), p=1).sum(1) / 2 for block_NK in routing_NBK.unbind(1)
    ]
    return (torch.stack(distances, 1) / max(len(routing_NBK) - 1, 1)).float()


def _shapes(count: int, predictor: Predictor) -> Sizes:
    blocks = len(predictor.settings.model.routed_blocks)
    return {"labels": (count,), "moved": (len(VARIANTS), count, blocks), "between": (count, blocks)}


STABILITY = Measure("stability", Stability, measure_stability, _shapes)


def stability_table(found: Stability, blocks: Sequence[int]) -> pd.DataFrame:
    """Return a row per block and variant: block, variant, share, low, high, moved, between.

    `moved` is the mean distance of an image from its variant, `between` that of two images, and `share` their ratio: 0 if the variants
    change nothing, 1 if they change the weights as much as another image would. It is NaN in blocks that route all images alike. The
    interval is by the jackknife over the images, at 95%.
    """
    rows = []
    between_B = found.between.double().mean(0)
    for place, block in enumerate(blocks):
        for variant, moved_NB in zip(VARIANTS, found.moved.double(), strict=True):
            moved_N, between = moved_NB[:, place], between_B[place].item()
            share = low = high = float("nan")
            if between >= CONSTANT and len(moved_N) > 2:
                share = moved_N.mean().item() / between
                half = Z95 * _jackknife_error(moved_N, found.between[:, place].double())
                low, high = max(share - half, 0.0), share + half
            rows.append((block, variant, share, low, high, moved_N.mean().item(), between))
    return pd.DataFrame(rows, columns=["block", "variant", "share", "low", "high", "moved", "between"])


def _jackknife_error(moved_N: Tensor, between_N: Tensor) -> float:
    """Return the standard error of the ratio of means, if the distance between images is a mean over pairs."""
    count = len(moved_N)
    moved = (moved_N.sum() - moved_N) / (count - 1)
    # without an image, its pairs are gone in both directions
    pairs = ((count - 1) * (between_N.sum() - 2 * between_N)) / ((count - 1) * (count - 2))
    return ((count - 1) * (moved / pairs).var(correction=0)).sqrt().item()
