"""The tables of a lab are made once, and two labs are matched."""

from dataclasses import replace

import pytest
import torch

from expertnet.inference.routing_cache import Routed
from expertnet.routing.lab import Lab, matched, open_lab, same_images
from tests.support.lab import ANIMALS, routed


def test_the_same_routing_is_the_same_lab():
    found = routed()
    assert open_lab(found, ANIMALS) is open_lab(found, ANIMALS)
    assert open_lab(found, ANIMALS).blocks is open_lab(found, ANIMALS).blocks


def test_a_lab_agrees_with_its_routing():
    found = routed()
    lab = Lab(found, ANIMALS)
    assert lab.usage.sum(1).tolist() == pytest.approx([1, 1])
    table = lab.by_class.set_index(["class", "block", "expert"])["weight"]
    assert table["dog", 2, 3] == pytest.approx(found.routing[found.labels == 1, 1, 2].mean().item())
    assert set(lab.by_class["class"]) == set(ANIMALS)
    points, _ = lab.points
    wrong = points[points["class"] != points["taken for"]]
    assert len(wrong) == (found.labels != found.predictions).sum()


def test_a_run_with_its_experts_renumbered_is_matched_back():
    found = routed()
    order = torch.tensor([[2, 0, 1], [1, 2, 0]])
    other = Routed(found.routing.gather(2, order.expand_as(found.routing)), found.labels, found.predictions)
    lab, reference = Lab(other, ANIMALS), Lab(found, ANIMALS)
    assert torch.equal(matched(lab, reference).routed.routing, found.routing)
    assert matched(lab, reference) is matched(lab, reference)


def test_two_runs_have_their_classes_in_the_same_order():
    found = routed()
    swapped = torch.tensor([3, 2, 0, 1])[found.labels]  # other classes route alike
    lab, reference = Lab(Routed(found.routing, swapped, found.predictions), ANIMALS), Lab(found, ANIMALS)
    assert list(lab.by_class["class"].unique()) != list(reference.by_class["class"].unique())
    other = matched(lab, reference)
    assert list(other.by_class["class"].unique()) == list(reference.by_class["class"].unique())
    own = lab.by_class.set_index(["class", "block"]).groupby(level=[0, 1])["weight"].max()
    assert other.by_class.groupby(["class", "block"])["weight"].max().equals(own)  # the weights stay with their class
    assert "order of the first run" in other.row_order and "neighbors" in lab.row_order


def test_a_class_without_images_is_left_out():
    found = routed()
    members = found.labels != 2
    lab = Lab(Routed(found.routing[members], found.labels[members], found.predictions[members]), ANIMALS)
    assert set(lab.by_class["class"]) == {"cat", "dog", "fox"}


@pytest.mark.parametrize(
    ("images", "others", "same"),
    [
        ("digits-32px-v2", "digits-32px-v3", True),  # all versions read a built-in dataset in one order
        ("digits-32px-v3", "digits-16px-v3", False),
        ("folder-9a-32px-v3", "folder-9a-32px-v3", True),
        ("folder-9a-32px-v2", "folder-9a-32px-v3", False),
        (None, None, False),
    ],
)
def test_only_images_in_the_same_order_are_the_same(images, others, same):
    lab, other = (Lab(replace(routed(), images=fingerprint), ANIMALS) for fingerprint in (images, others))
    assert same_images(lab, other) == same
    swapped = replace(other.routed, labels=(other.routed.labels + 1) % 4)
    assert not same_images(lab, Lab(swapped, ANIMALS))
