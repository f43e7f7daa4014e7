"""Each expert of each block ablated in turn, in two ways, with batch norms that are estimated again.

Switched off, an expert has the weight 0, and the other weights grow in proportion to keep their sum. Replaced by its mean, its
part of the mix (its weight times its output, or its weight times its kernel) is the same for all images: the mean over training
images at each place, as in the mean-ablation of Wang 2022 (arXiv:2211.00593). The other weights then stay as they are. That takes
away what the expert says about an image, but not its share of the output's scale. So only switching off is also measured
without estimating the batch norms again.
"""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor

from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import in_batches
from expertnet.network.model import scaled
from expertnet.routing.effects import KINDS, Ablations, Images, shapes
from expertnet.routing.interventions import ablated
from expertnet.routing.measure import Measure, Sizes
from expertnet.routing.paired import SIGNIFICANT, max_t, paired_change, together
from expertnet.routing.passes import Passes, Statistics, calibration_images, estimated
from expertnet.routing.weights import HARDLY_USED
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

DEAD_FLIPS = 0.001  # share of images whose class changes without a hardly used expert, at most which it is dead

_Site = tuple[str, int, int]  # one of KINDS, block and expert (from 1)
_Means = dict[tuple[int, int], Tensor]  # of an expert's part of the mix, by block and expert (from 1)


def ablate_all(
    predictor: Predictor, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Ablations:
    """Classify the images with each expert of each block ablated in turn. Raises Cancelled when `cancelled` returns True.

    The blocks before the ablated one are computed once for all experts, since they keep the statistics of the control. With B
    blocks of K experts that cost the same, that takes 2 + 3K(B - 1)/2 passes over the evaluated images (20 for 5 blocks of 3
    experts) and 2 + K(B - 1) over ESTIMATED_ON training images (14).
    """
    calibration, _ = calibration_images(predictor, images.training)
    with torch.no_grad():
        sweep = _Sweep(predictor, calibration, progress, cancelled)
        batches = []
        for here, share in in_batches(images.evaluated, cancelled):
            progress("Switching off each expert in turn", share)
            batches.append(sweep.answers(predictor.normalized(images.evaluated.images[here]), cancelled))
    answers, unchanged, routing = (
        torch.cat(found, dim) for found, dim in zip(zip(*batches, strict=True), (3, 1, 0), strict=True)
    )
    answers = torch.where(answers < 0, unchanged[[0, 1, 1], None, None], answers)
    labels = images.evaluated.labels.clone()
    return Ablations(images.part, labels, unchanged, answers[0], answers[1:], routing.mean(0))


def _shapes(count: int, predictor: Predictor) -> Sizes:
    model = predictor.settings.model
    return shapes("ablations", count, model.num_blocks, model.num_experts)


CLASSES = ("labels", "learned", "shipped", "changed")
ABLATIONS = Measure("ablations", Ablations, ablate_all, _shapes, CLASSES, shares=True)


class _Sweep:
    """Ablates every expert: in the network as shipped, and in one whose batch norms are estimated again for each ablation."""

    def __init__(self, predictor: Predictor, calibration: Tensor, progress: Report, cancelled: ShouldStop) -> None:
        """Find the mean part of each expert, and the statistics of the batch norms after each ablation, from training images."""
        self.shipped, self.control, self.work = Passes(predictor), estimated(predictor, calibration), Passes(predictor)
        self.means: _Means = {}
        self.statistics: dict[_Site, Statistics] = {}
        for site, x, mix in _ablated(self.control, self.control.model.stem(calibration), tuple(KINDS), self.means):
            raise_if_cancelled(cancelled)
            progress("Estimating the batch norms again", None)
            if site is not None:
                self.work.after(site[1], self.work.mixed(site[1], x, mix, estimate=True), estimate=True)
                self.statistics[site] = self.work.statistics(site[1])

    def answers(self, images: Tensor, cancelled: ShouldStop) -> tuple[Tensor, Tensor, Tensor]:
        """Return predicted classes: (3, B, K, N) without each expert, and (2, N) with all of them.

        The first row is as shipped, and the next ones are KINDS with re-estimated batch norms. Blocks without experts have -1. The
        third tensor is the routing (N, B, K) of the network as shipped.
        """
        blocks, experts = len(self.shipped.blocks), self.shipped.model.backbone.num_experts
        answers, unchanged = torch.full((3, blocks, experts, len(images)), -1), []
        routing = torch.zeros(len(images), blocks, experts)
        for network, kinds, weights in ((self.shipped, ("zero",), routing), (self.control, tuple(KINDS), None)):
            for site, x, mix in _ablated(network, network.model.stem(images), kinds, self.means, weights):
                raise_if_cancelled(cancelled)
                if site is None:
                    unchanged.append(network.model.classifier(x).argmax(1))
                    continue
                kind, block, expert = site
                row, last = 0, network
                if network is self.control:
                    row, last = 1 + list(KINDS).index(kind), self.work
                    last.set_statistics(block, self.statistics[site])
                answers[row, block - 1, expert - 1] = last.after(block, last.mixed(block, x, mix)).argmax(1)
        return answers, torch.stack(unchanged), routing


def _ablated(
    network: Passes, x: Tensor, kinds: Sequence[str], means: _Means, routing_NBK: Tensor | None = None
) -> Iterator[tuple[_Site | None, Tensor, Tensor]]:
    """Yield the input of each ablated block and the mix of its other experts; at the end (None) the features, twice.

    `means` is filled from these images if it is empty, and the routing weights are written to `routing_NBK`.
    """
    for number, block in enumerate(network.blocks, start=1):
        if block.plain:
            x, weights_NK = network.block(number, x)
        else:
            parts, (weights_NK, factor_N1) = list(block.experts.parts(x)), block.routing(x)
            used_NK = scaled(weights_NK, factor_N1)
            for expert, part in enumerate(parts):
                site = number, expert + 1
                if "zero" in kinds:
                    yield ("zero", *site), x, block.experts.mix(parts, ablated(expert)(used_NK))
                if "mean" in kinds:
                    if site not in means:
                        means[site] = (part * used_NK[:, expert, None, None, None]).mean(0)
                    rest = block.experts.mix(parts, ablated(expert, renormalize=False)(used_NK))
                    yield ("mean", *site), x, rest + means[site]
            x = network.mixed(number, x, block.experts.mix(parts, used_NK))
        if routing_NBK is not None:
            routing_NBK[:, number - 1, : weights_NK.shape[1]] = weights_NK
    yield None, x, x


def ablation_table(effects: Ablations, kind: str, blocks: Sequence[int]) -> pd.DataFrame:
    """Return a row per expert of these blocks with the effect of its ablation, with re-estimated batch norms.

    The columns are block, expert, weight (mean), change, low, high (fractions), p, as_shipped (the change by switching it off
    without estimating the batch norms again), flipped (how many images get another class), dead, utilization and accuracy.
    Intervals and p-values are corrected for the number of rows (see `together` and `max_t`). A dead expert is little used and
    without effect. Low use alone is not enough, since a softmax never gives an expert a weight of 0.
    """
    experts = effects.weights.shape[1]
    places = [(block, expert) for block in blocks for expert in range(1, experts + 1)]
    changed = torch.stack([effects.without(kind, *place) for place in places])
    right, was_right = changed == effects.labels, effects.learned[1] == effects.labels
    p, wide = max_t(right.double() - was_right.double()), together(len(places))
    rows = []
    for (block, expert), answers, corrected in zip(places, changed, p.tolist(), strict=True):
        weight, shipped = effects.weights[block - 1, expert - 1].item(), effects.shipped[block - 1, expert - 1]
        as_shipped = paired_change(effects.labels, effects.learned[0], shipped)["change"]
        found = paired_change(effects.labels, effects.learned[1], answers, wide)
        dead = experts * weight < HARDLY_USED and found["flipped"] <= DEAD_FLIPS * len(effects.labels)
        own = {"block": block, "expert": expert, "weight": weight, "utilization": experts * weight, "dead": dead}
        rows.append(own | found | {"p": corrected, "as_shipped": as_shipped})
    # the columns that a narrow page has room for come first
    order = ["block", "expert", "weight", "change", "low", "high", "p", "as_shipped", "flipped", "dead"]
    return pd.DataFrame(rows)[[*order, "utilization", "accuracy"]]


def costly(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `ablation_table` in which the ablation costs accuracy, the most costly first."""
    lost = table[(table["change"] < 0) & (table["p"] <= SIGNIFICANT)]
    return lost.sort_values("change", kind="stable")


def gaining(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in which the ablation raises the accuracy, in their order."""
    return table[(table["change"] > 0) & (table["p"] <= SIGNIFICANT)]


def class_effects(effects: Ablations, kind: str, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row per class, block and expert: the change in accuracy on the class's images without the expert."""
    rows, changed = [], effects.changed[list(KINDS).index(kind)]
    for label, name in enumerate(classes):
        members = effects.labels == label
        if members.any():
            before = (effects.learned[1, members] == label).double().mean()
            after = (changed[..., members] == label).double().mean(-1) - before
            rows += [
                (name, block, expert, value)
                for block, row in enumerate(after.tolist(), 1)
                for expert, value in enumerate(row, 1)
            ]
    return pd.DataFrame(rows, columns=["class", "block", "expert", "change"])
