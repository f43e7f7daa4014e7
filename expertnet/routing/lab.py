"""The tables of a trained network's routing of its test set, each computed once."""

from dataclasses import replace
from functools import cached_property, lru_cache

import pandas as pd
import torch
from torch import Tensor

from expertnet.data.info import order_of
from expertnet.inference.routing_cache import Routed
from expertnet.network.routing_metrics import class_means, usage
from expertnet.routing import specialization
from expertnet.routing.chance import Chance, chance
from expertnet.routing.information import block_table
from expertnet.routing.similarity import components, likeness_order, match_experts
from expertnet.routing.weights import class_table, expert_table


class Lab:
    """The routing of N test images through B blocks of K experts, and tables of it.

    Each table is computed on first use, and has no rows for blocks without experts. `blocks`, `experts` and `specializations`
    are those of `block_table`, `expert_table` and `specializations`.
    """

    row_order = "ordered by hierarchical clustering (average linkage, optimal leaf order), so that neighbors are routed similarly"

    def __init__(self, routed: Routed, classes: tuple[str, ...]) -> None:
        self.routed, self.classes = routed, classes
        self.count, _, self.num_experts = routed.routing.shape
        self.block_numbers = routed.blocks
        self.routing = routed.routing[:, [block - 1 for block in routed.blocks]]  # of the blocks that have experts

    def _numbered(self, table: pd.DataFrame) -> pd.DataFrame:
        """Replace the places of blocks in `routing` by their numbers in the network."""
        return table.assign(block=[self.block_numbers[place - 1] for place in table["block"]])

    @cached_property
    def usage(self) -> Tensor:
        """Return the mean weights of the test set: (B, K)."""
        return usage(self.routed.routing)

    @cached_property
    def profiles(self) -> Tensor:
        """Return the mean weights of each class: (C, B, K), NaN for classes without images."""
        return class_means(self.routed.routing, self.routed.labels, len(self.classes))

    @cached_property
    def by_class(self) -> pd.DataFrame:
        """Return `class_table` with classes ordered so that similarly routed ones are neighbors."""
        table = self._numbered(class_table(self.routing, self.routed.labels, self.classes))
        present = [label for label in range(len(self.classes)) if not self.profiles[label].isnan().any()]
        order = [self.classes[present[place]] for place in likeness_order(self.profiles[present])]
        return table.sort_values("class", key=lambda names: names.map(order.index), kind="stable", ignore_index=True)

    @cached_property
    def chance(self) -> Chance:
        """Return what chance alone would show, in the blocks that have experts."""
        return chance(self.routing, self.routed.labels)

    @cached_property
    def blocks(self) -> pd.DataFrame:
        return self._numbered(block_table(self.routing, self.routed.labels, len(self.classes), self.chance))

    @cached_property
    def experts(self) -> pd.DataFrame:
        return self._numbered(expert_table(self.routing))

    @cached_property
    def specializations(self) -> pd.DataFrame:
        found = specialization.specializations(self.routing, self.routed.labels, self.classes, self.chance)
        return self._numbered(found)

    @cached_property
    def points(self) -> tuple[pd.DataFrame, list[float]]:
        """Return the columns image, class, taken for (the predicted class), x, y, and the shares of variance of x and y."""
        placed, explained = components(self.routing)
        names = pd.Series(self.classes)
        table = pd.DataFrame(
            {
                "image": range(1, self.count + 1),
                "class": names.iloc[self.routed.labels.tolist()].to_numpy(),
                "taken for": names.iloc[self.routed.predictions.tolist()].to_numpy(),
                "x": placed[:, 0].tolist(),
                "y": placed[:, 1].tolist(),
            }
        )
        return table, explained

    @property
    def accuracy(self) -> float:
        """Return the accuracy on the test set, a fraction."""
        return (self.routed.predictions == self.routed.labels).double().mean().item()


@lru_cache(maxsize=16)
def open_lab(routed: Routed, classes: tuple[str, ...]) -> Lab:
    """Return the Lab of a routing, and the same object for the same routing."""
    return Lab(routed, classes)


def same_images(lab: Lab, other: Lab) -> bool:
    """Return whether two networks have certainly routed the same images in the same order."""
    images, others = lab.routed.images, other.routed.images
    if not images or not others:
        return False
    return order_of(images) == order_of(others) and torch.equal(lab.routed.labels, other.routed.labels)


@lru_cache(maxsize=16)
def matched(lab: Lab, reference: Lab) -> Lab:
    """Return a Lab whose experts are renumbered to match the reference's best, with classes in the reference's order.

    They are matched by the images if both networks have the same ones, and else by the classes.
    """
    if same_images(lab, reference):
        order_BK = match_experts(reference.routed.routing, lab.routed.routing)
    else:
        order_BK = match_experts(reference.profiles, lab.profiles)
    routing = lab.routed.routing.gather(2, order_BK.expand_as(lab.routed.routing))
    renumbered = Lab(replace(lab.routed, routing=routing), lab.classes)
    renumbered.blocks, renumbered.chance = lab.blocks, lab.chance  # these do not depend on the numbering
    places = {name: place for place, name in enumerate(dict.fromkeys(reference.by_class["class"]))}
    in_order = renumbered.by_class["class"].map(lambda name: places.get(name, len(places))).argsort(kind="stable")
    renumbered.by_class = renumbered.by_class.iloc[in_order].reset_index(drop=True)
    renumbered.row_order = "in the order of the first run"
    return renumbered
