"""The answers of the network under other routing policies, before and after the batch norms are estimated again.

Mean weights come from training images, never from the images that the network is judged on. The weights of another image do
damage of their own, since they can be the opposite of an image's own: they are drawn many times, and nothing rests on them.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import pandas as pd
import torch
from torch import Tensor

from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import in_batches
from expertnet.network.model import Change, Changes, scaled
from expertnet.network.routing_metrics import class_means, usage
from expertnet.routing.effects import POLICIES, SHUFFLED, SHUFFLES, Images, Routings, shapes
from expertnet.routing.interventions import given, top1, uniform
from expertnet.routing.measure import Measure, Sizes
from expertnet.routing.paired import paired_change
from expertnet.routing.passes import Passes, Statistics, calibration_images, estimated
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

Policy = tuple[str, Callable[[slice], Changes]]  # its name, and the changes to the routing of a batch of images


def route_all(
    predictor: Predictor, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Routings:
    """Classify the images under each policy, with SHUFFLES draws of other images. Raises Cancelled when `cancelled` returns True.

    What comes before the first mix of experts is computed once for all policies.
    """
    total = 2 * len(POLICIES) + len(SHUFFLED) * (1 + SHUFFLES)
    with torch.no_grad():
        calibration = calibration_images(predictor, images.training)
        found, done = list[tuple[Tensor, Tensor]](), 0
        for network, draws in ((Passes(predictor), 1), (estimated(predictor, calibration[0]), SHUFFLES)):
            count = len(POLICIES) + len(SHUFFLED) * draws

            def report(share: float, done: int = done, count: int = count) -> None:
                progress("Routing the images in other ways", (done + share * count) / total)

            policies = _Policies(network, predictor, images.training)
            if found:  # the network as shipped comes first
                policies.calibrate(*calibration)
            found.append(policies.answers(images.evaluated, draws, report, cancelled))
            done += count
    (shipped, one_draw), (again, shuffled) = found
    labels = images.evaluated.labels.clone()
    return Routings(images.part, labels, torch.stack([shipped, again]), shuffled, one_draw[:, 0])


def _shapes(count: int, predictor: Predictor) -> Sizes:
    model = predictor.settings.model
    return shapes("routings", count, model.num_blocks, model.num_experts)


ROUTINGS = Measure("routings", Routings, route_all, _shapes, ("labels", "answers"), shares=True)


class _Policies:
    """Routes images under each policy through a network, whose mean weights come from a sample of training images."""

    def __init__(self, network: Passes, predictor: Predictor, training: Split) -> None:
        self.network, self.work, self.predictor = network, copy.deepcopy(network), predictor
        self.routed_blocks = [number for number, block in enumerate(network.blocks, 1) if not block.plain]
        _, routing_NBK = self._routed(training, never)
        self.other = OtherRouting.after(self.routed_blocks, routing_NBK, training.labels, len(predictor.classes))
        self.statistics: dict[str, Statistics] = {}

    def calibrate(self, images: Tensor, labels: Tensor) -> None:
        """Estimate the batch norms again for each policy, from augmented training images (M, 3, S, S)."""
        _, routing_NBK = self.network.model(images, True)
        mixed = self._begin(images)
        for name, changes_of in self.other.policies(routing_NBK, labels, 1):
            changes = changes_of(slice(None))
            self.work.after(self.routed_blocks[0], mixed(changes, True), changes, estimate=True)
            self.statistics[name] = self.work.statistics(self.routed_blocks[0])

    def answers(
        self, evaluated: Split, draws: int, report: Callable[[float], None], cancelled: ShouldStop
    ) -> tuple[Tensor, Tensor]:
        """Return the predicted classes (len(POLICIES), N), and the accuracies with other images' weights: (2, draws)."""
        learned_N, routing_NBK = self._routed(evaluated, cancelled)
        policies, parts = list(self.other.policies(routing_NBK, evaluated.labels, draws)), []
        for here, share in in_batches(evaluated, cancelled):
            mixed, rows = self._begin(self.predictor.normalized(evaluated.images[here])), []
            for done, (name, changes_of) in enumerate(policies):
                raise_if_cancelled(cancelled)
                report(share + done / len(policies) * len(evaluated.labels[here]) / len(evaluated))
                if self.statistics:
                    self.work.set_statistics(self.routed_blocks[0], self.statistics[name])
                changes = changes_of(here)
                rows.append(self.work.after(self.routed_blocks[0], mixed(changes, False), changes).argmax(1))
            parts.append(torch.stack(rows))
        changed_PN, once = torch.cat(parts, dim=1), len(POLICIES) - 1
        right = (changed_PN[once:] == evaluated.labels).float().mean(1)
        return torch.cat([learned_N[None], changed_PN[:once]]), right.view(len(SHUFFLED), draws)

    def _routed(self, split: Split, cancelled: ShouldStop) -> tuple[Tensor, Tensor]:
        """Return the predicted classes (N,) and the learned routing (N, B, K)."""
        found = [
            self.network.model(self.predictor.normalized(split.images[here]), True)
            for here, _ in in_batches(split, cancelled)
        ]
        logits_NC, routing_NBK = (torch.cat(parts) for parts in zip(*found, strict=True))
        return logits_NC.argmax(1), routing_NBK

    def _begin(self, images: Tensor) -> Callable[[Changes, bool], Tensor]:
        """Return the function from changes to the input of the block after the first one with a router.

        Its second argument says whether to estimate the batch norm behind the mix of that block.
        """
        first, x = self.routed_blocks[0], self.network.model.stem(images)
        for number in range(1, first):
            x, _ = self.network.block(number, x)
        block = self.network.blocks[first - 1]
        parts, (weights_NK, factor_N1) = list(block.experts.parts(x)), block.routing(x)

        def mixed(changes: Changes, estimate: bool) -> Tensor:
            mix = block.experts.mix(parts, scaled(changes[first](weights_NK), factor_N1))
            return self.work.mixed(first, x, mix, estimate)

        return mixed


@dataclass(frozen=True, eq=False)
class OtherRouting:
    """The ways to route images otherwise than a network with B blocks of K experts does."""

    blocks: Sequence[int]  # those with experts, from 1
    mean_BK: Tensor  # the mean weights of training images
    by_class_CBK: Tensor  # those of each class

    @classmethod
    def after(cls, blocks: Sequence[int], routing_NBK: Tensor, labels_N: Tensor, num_classes: int) -> Self:
        """Take the mean weights of these training images. A class without images gets those of all."""
        mean_BK, by_class_CBK = usage(routing_NBK), class_means(routing_NBK, labels_N, num_classes)
        return cls(blocks, mean_BK, torch.where(by_class_CBK.isnan(), mean_BK, by_class_CBK))

    def policies(self, routing_NBK: Tensor, labels_N: Tensor, draws: int) -> Iterator[Policy]:
        """Yield every policy but the learned one for images with this learned routing, each of SHUFFLED `draws` times."""
        for name, change in (("uniform", uniform), ("first", top1)):
            yield name, partial(self._same, change)
        for name, weights_NBK in (
            ("mean", self.mean_BK.expand_as(routing_NBK)),
            ("class", self.by_class_CBK[labels_N]),
        ):
            yield name, partial(self._given, weights_NBK)
        generator = torch.Generator().manual_seed(0)
        for name in SHUFFLED:
            for _ in range(draws):
                groups = labels_N if name == "shuffled within classes" else torch.zeros_like(labels_N)
                yield name, partial(self._given, routing_NBK[shuffled(groups, generator)])

    def _same(self, change: Change, here: slice) -> Changes:
        return dict.fromkeys(self.blocks, change)

    def _given(self, weights_NBK: Tensor, here: slice) -> Changes:
        return {block: given(weights_NBK[here, block - 1]) for block in self.blocks}


def shuffled(groups_N: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random permutation of N images that leaves each in the places of its group."""
    order = torch.randperm(len(groups_N), generator=generator)
    permutation = torch.empty_like(order)
    permutation[groups_N.argsort(stable=True)] = order[groups_N[order].argsort(stable=True)]
    return permutation


def policy_table(effects: Routings) -> pd.DataFrame:
    """Return a row per policy: policy, routing (in words), accuracy, change, low, high (fractions), as_shipped.

    All figures are with re-estimated batch norms, except `as_shipped`, the change without estimating them again. Low and high
    bound a 95% interval of the paired change; in the rows of SHUFFLED, they are the lowest and the highest of the draws, and
    `as_shipped` is one draw.
    """
    rows = []
    for place, (policy, routing) in enumerate(POLICIES.items()):
        shipped, found = (paired_change(effects.labels, answers[0], answers[place]) for answers in effects.answers)
        rows.append({"policy": policy, "routing": routing} | found | {"as_shipped": shipped["change"]})
    learned_S = (effects.answers[:, 0] == effects.labels).double().mean(1)
    for place, (policy, routing) in enumerate(SHUFFLED.items()):
        change_D = effects.shuffled[place].double() - learned_S[1]
        low, high = change_D.aminmax()
        rows.append(
            {
                "policy": policy,
                "routing": f"{routing}, {SHUFFLES} times",
                "accuracy": (learned_S[1] + change_D.mean()).item(),
                "change": change_D.mean().item(),
                "low": low.item(),
                "high": high.item(),
                "as_shipped": (effects.shuffled_shipped[place].double() - learned_S[0]).item(),
            }
        )
    return pd.DataFrame(rows)[["policy", "routing", "accuracy", "change", "low", "high", "as_shipped"]]
