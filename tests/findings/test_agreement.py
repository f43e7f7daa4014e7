"""Two networks are said to agree only on the same images, and only beyond chance."""

from dataclasses import replace

import pytest
import torch

from expertnet.findings.agreement import agreement
from expertnet.inference.routing_cache import Routed
from expertnet.routing.lab import Lab, matched
from tests.support.lab import ANIMALS, one_hot, routed

FIRST = replace(routed(blocks=3), images="a")


def compared(other):
    lab = Lab(FIRST, ANIMALS)
    return agreement(lab, matched(Lab(other, ANIMALS), lab))


def test_networks_that_differ_in_the_numbers_of_their_experts_agree():
    finding = compared(replace(FIRST, routing=FIRST.routing.flip(2)))
    assert finding.sentence.startswith(
        "Both networks favor the same expert more often than chance explains in 3 of 3 blocks. They agree most beyond chance in block"
    )
    assert finding.table["agreement"].tolist() == [1, 1, 1]
    assert finding.table["difference_of_class_means"].tolist() == pytest.approx([0, 0, 0])


def test_experts_are_matched_by_the_images_where_the_classes_tell_them_not_apart():
    """The weights follow something else than the class: in each class, half of the images go to either expert."""
    half = one_hot(torch.arange(80) // 4 % 2, 2)
    first, second = (Lab(Routed(each, FIRST.labels, FIRST.labels, images="a"), ANIMALS) for each in (half, 1 - half))
    finding = agreement(first, matched(second, first))
    assert finding.table["agreement"].tolist() == [1] and finding.table["excess"][0] > 0.3
    assert torch.equal(matched(second, first).routed.routing, half)


def test_unrelated_networks_do_not_agree():
    order = torch.randperm(80, generator=torch.Generator().manual_seed(1))
    sentence = compared(replace(FIRST, routing=FIRST.routing[order])).sentence
    assert sentence == "Both networks favor the same expert more often than chance explains in 0 of 3 blocks."


@pytest.mark.parametrize("images", ["b", None])
def test_other_images_are_not_compared_one_by_one(images):
    finding = compared(replace(FIRST, images=images))
    assert "may have different test images" in finding.sentence
    assert finding.table.columns.tolist() == ["block", "difference_of_class_means"]


def test_classes_without_images_do_not_count_as_equal():
    """In both classes with images, the mean weights are 0.9 and 0.1 in one network, and 0.4 and 0.6 in the other."""
    labels = torch.arange(80) % 2
    first, second = (
        Lab(Routed(torch.tensor([weight, 1 - weight]).expand(80, 1, 2), labels, labels, images="a"), ANIMALS)
        for weight in (0.9, 0.4)
    )
    assert agreement(first, second).table["difference_of_class_means"].tolist() == pytest.approx([0.5])
