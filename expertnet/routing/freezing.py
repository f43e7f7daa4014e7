"""What routing in each single block is worth: the answers if one block gives every image the mean weights of training images.

The other blocks keep their routers, which see what the changed block puts out. Batch norms are estimated again as for ablations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import in_batches
from expertnet.network.model import scaled
from expertnet.routing.effects import STATISTICS, Images
from expertnet.routing.interventions import given
from expertnet.routing.measure import Measure, Sizes
from expertnet.routing.paired import max_t, paired_change, together
from expertnet.routing.passes import Passes, calibration_images, estimated, mean_weights
from expertnet.utils.progress import Report, ShouldStop, never, silent


@dataclass(frozen=True, eq=False)  # compared by identity, to serve as a cache key
class Frozen:
    """The classes predicted for N images with the routing of one of B blocks frozen. Only blocks with experts count."""

    part: Part
    labels: Tensor  # (N,): true classes
    learned: Tensor  # (len(STATISTICS), N): with the network's own routing
    answers: Tensor  # (len(STATISTICS), B, N)


def freeze_each(
    predictor: Predictor, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Frozen:
    """Classify the images with each block frozen in turn. With B blocks that cost the same, that takes about B + 3 passes."""
    with torch.no_grad():
        calibration, _ = calibration_images(predictor, images.training)
        shipped, control, work = Passes(predictor), estimated(predictor, calibration), Passes(predictor)
        means = [mean_weights(network, predictor, images.training, cancelled) for network in (shipped, control)]
        statistics = {}
        for number, x, mix in _frozen(control, control.model.stem(calibration), means[1]):
            if number:
                work.after(number, work.mixed(number, x, mix, estimate=True), estimate=True)
                statistics[number] = work.statistics(number)
        batches = []
        for here, share in in_batches(images.evaluated, cancelled):
            progress("Freezing the routing of each block", share)
            pixels, rows = predictor.normalized(images.evaluated.images[here]), []
            for network, mean_BK in zip((shipped, control), means, strict=True):
                for number, x, mix in _frozen(network, network.model.stem(pixels), mean_BK):
                    last = network
                    if number and network is control:
                        last = work
                        last.set_statistics(number, statistics[number])
                    logits = last.after(number, last.mixed(number, x, mix)) if number else network.model.classifier(x)
                    rows.append(logits.argmax(1))
            batches.append(torch.stack(rows).unflatten(0, (len(STATISTICS), -1)))
    found = torch.cat(batches, 2)  # the unchanged answers come last
    return Frozen(images.part, images.evaluated.labels.clone(), found[:, -1].clone(), found[:, :-1].clone())


def _frozen(network: Passes, x: Tensor, mean_BK: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield the number and input of each block with experts, and its mix with mean weights; at the end, 0 and the features twice."""
    for number, block in enumerate(network.blocks, start=1):
        if block.plain:
            x, _ = network.block(number, x)
            continue
        parts, (weights_NK, factor_N1) = list(block.experts.parts(x)), block.routing(x)
        frozen_NK = given(mean_BK[number - 1])(weights_NK)
        yield number, x, block.experts.mix(parts, scaled(frozen_NK, factor_N1))
        x = network.mixed(number, x, block.experts.mix(parts, scaled(weights_NK, factor_N1)))
    yield 0, x, x


def _shapes(count: int, predictor: Predictor) -> Sizes:
    blocks = len(predictor.settings.model.routed_blocks)
    return {"labels": (count,), "learned": (len(STATISTICS), count), "answers": (len(STATISTICS), blocks, count)}


FREEZING = Measure("frozen", Frozen, freeze_each, _shapes, ("labels", "learned", "answers"))


def freezing_table(frozen: Frozen, blocks: Sequence[int]) -> pd.DataFrame:
    """Return a row per block (numbered as in `blocks`): block, accuracy, change, low, high, p, as_shipped (fractions), flipped.

    Intervals and p-values are corrected for the number of blocks (see `together` and `max_t`). All figures but `as_shipped` are
    with re-estimated batch norms.
    """
    right, was_right = frozen.answers[1] == frozen.labels, frozen.learned[1] == frozen.labels
    p_B, wide = max_t(right.double() - was_right.double()), together(len(blocks))
    rows = []
    for place, block in enumerate(blocks):
        found = paired_change(frozen.labels, frozen.learned[1], frozen.answers[1, place], wide)
        shipped = paired_change(frozen.labels, frozen.learned[0], frozen.answers[0, place])["change"]
        rows.append({"block": block} | found | {"p": p_B[place].item(), "as_shipped": shipped})
    return pd.DataFrame(rows)[["block", "change", "low", "high", "p", "as_shipped", "flipped", "accuracy"]]
