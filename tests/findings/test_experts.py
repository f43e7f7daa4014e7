"""What is said about the use of experts."""

import pytest
import torch

from expertnet.findings import experts
from expertnet.inference.routing_cache import Routed
from expertnet.routing.lab import Lab
from tests.support.lab import ANIMALS, one_hot, routed

LABELS = torch.arange(40) % 4


def test_experts_are_ranked_unless_their_use_is_equal():
    same = Lab(Routed(torch.full((40, 2, 1), 1.0), LABELS, LABELS), ANIMALS)
    assert experts.utilization(same).sentence == experts.ALIKE
    assert "is used most" in experts.utilization(Lab(routed(), ANIMALS)).sentence


def test_what_blocks_do_is_said_by_kind_of_routing():
    labels = torch.arange(400) % 4
    routing = torch.cat([one_hot(labels, 4), torch.full((400, 1, 4), 0.25), one_hot(labels * 0, 4)], 1)
    finding = experts.entropies(Lab(Routed(routing, labels, labels), ANIMALS))
    assert finding.sentence == (
        "Block 1 chooses an expert for each image; block 2 gives all images nearly the same weights; block 3 mostly uses one expert."
    )


def test_too_few_images_to_tell_constant_routing_are_said_to_be_too_few():
    routing = torch.tensor([[0.55, 0.45], [0.45, 0.55]])[LABELS % 2][:, None]  # says 0.7% of ln 2 about the image
    finding = experts.entropies(Lab(Routed(routing, LABELS, LABELS), ANIMALS))
    assert finding.sentence == (
        "Block 1 gives all images nearly the same weights. Too few images to be sure whether the weights depend on the image: block 1."
    )


def test_experts_that_classes_prefer_are_counted_and_the_strongest_comes_first():
    mixed = (torch.eye(3)[LABELS % 2] * 0.8 + torch.eye(3)[(LABELS + 1) % 2] * 0.2)[:, None]
    routing = torch.cat([mixed, one_hot(LABELS % 2, 3)], 1)  # the third expert is dead in both blocks
    lab = Lab(Routed(routing, LABELS % 2, LABELS % 2), ANIMALS[:2])
    finding = experts.specializations(lab)
    assert finding.sentence == (
        "Experts in use that at least one class prefers: 4 of 4. "
        "The strongest of 4 preferences: cat gives expert 1 of block 2 2.00 times its mean weight."
    )
    assert finding.table[["block", "class"]].values.tolist() == [[2, "cat"], [2, "dog"], [1, "cat"], [1, "dog"]]
    assert finding.table["ratio"].tolist() == pytest.approx([2, 2, 1.6, 1.6])
    assert experts.examples(lab, 1, 2, 5).sentence.endswith("they raise its weight: dog (1.60).")
    independent = torch.rand(40, 1, 3, generator=torch.Generator().manual_seed(5)).softmax(2)
    finding = experts.specializations(Lab(Routed(independent, LABELS, LABELS), ANIMALS))
    assert finding.sentence == "Experts in use that at least one class prefers: 0 of 3." and finding.table.empty


def test_the_images_of_an_expert_are_those_with_extreme_weights():
    routing = one_hot(LABELS % 2, 3)  # images with even labels go to expert 1, the others to expert 2
    found = experts.examples(Lab(Routed(routing, LABELS, LABELS), ANIMALS), 1, 1, 5)
    assert [LABELS[image] % 2 for image in found.largest] == [0] * 5
    assert [LABELS[image] % 2 for image in found.smallest] == [1] * 5
    assert found.sentence.startswith("1.50 times a fair share of use; the largest weight in 50.0% of the images.")


def test_no_expert_of_equal_ones_is_said_to_have_the_largest_weight():
    lab = Lab(Routed(torch.full((40, 2, 3), 1 / 3), LABELS, LABELS), ANIMALS)
    assert experts.utilization(lab).sentence == experts.ALIKE
    for expert in (1, 2, 3):
        assert experts.examples(lab, 1, expert, 5).sentence == (
            "1.00 times a fair share of use: all experts of the block have equal weights in every image."
        )


def test_an_expert_whose_weight_hardly_varies_has_no_most_and_least():
    weight = torch.linspace(0, 0.01, 40)[:, None]
    routing = torch.stack([weight, 1 - weight], 2)
    found = experts.examples(Lab(Routed(routing, LABELS, LABELS), ANIMALS), 1, 1, 5)
    assert found.largest == found.smallest == []
    assert found.sentence == (
        "0.01 times a fair share of use; the largest weight in 0.0% of the images. Its weight hardly varies: from 0.00 to 0.01."
    )
