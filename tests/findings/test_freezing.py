"""What is said about the routing of single blocks."""

import pytest
import torch

from expertnet.findings.freezing import freezing
from expertnet.routing.freezing import Frozen

LABELS = torch.arange(1000) % 4
WRONG = (LABELS + 1) % 4


def frozen(*lost, count=1000, right=1000):
    """So many images are lost with each block frozen; the last ones are misclassified by the network as it is."""
    labels, learned = LABELS[:count], LABELS.clone()
    learned[right:] = WRONG[right:]
    answers = learned.expand(2, len(lost), -1).clone()
    for block, images in enumerate(lost):
        answers[:, block, : max(images, 0)] = WRONG[: max(images, 0)]
        answers[:, block, right : right + max(-images, 0)] = LABELS[right : right + max(-images, 0)]
    return Frozen("validation", labels, learned[:count].expand(2, -1), answers[..., :count])


@pytest.mark.parametrize(
    ("lost", "sentence"),
    [
        (
            (0, 114, 20, 0, 0),
            "Mean weights in block 2 alone cost the most: 11.4 points on the 1,000 validation images. They also cost accuracy in "
            "block 3. In blocks 1, 4 and 5, they make no measurable difference, one block at a time.",
        ),
        # 4 more lost of 1,000: Agresti-Min's interval holds 0
        (
            (30, 34),
            "Mean weights in block 2 alone cost 3.4 points on the 1,000 validation images, which is indistinguishable from the change "
            "for block 1 (-3.0 points). They also cost accuracy in block 1.",
        ),
        ((31,), "Mean weights in block 1 alone cost 3.1 points on the 1,000 validation images."),
    ],
)
def test_the_block_that_costs_the_most_is_named_as_far_as_the_data_tell(lost, sentence):
    assert freezing(frozen(*lost), tuple(range(1, len(lost) + 1))).sentence == sentence


def test_a_larger_loss_that_chance_may_explain_is_what_a_sure_one_is_compared_with():
    found = frozen(0, 18, right=880)
    found.answers[:, 0, :120], found.answers[:, 0, 880:980] = WRONG[:120], LABELS[880:980]
    assert freezing(found, (1, 2)).sentence.startswith(
        "Mean weights in block 2 alone cost 1.8 points on the 1,000 validation images, which is indistinguishable from the change "
        "for block 1 (-2.0 points)."
    )
    found = frozen(0, 18, right=880)
    found.answers[:, 0, :100], found.answers[:, 0, 880:982] = WRONG[:100], LABELS[880:982]
    assert "indistinguishable from the change for block 1 (+0.2 points)." in freezing(found, (1, 2)).sentence


def test_without_a_measurable_loss_the_bound_is_given():
    """One image lost of 1,000, with z = 2.24 for two blocks: the lower bound is (-1 - 2.24 sqrt(2.59)) / 1003.2, 0.5 points."""
    assert freezing(frozen(1, 0), (1, 2)).sentence == (
        "No block's routing matters measurably by itself: mean weights in any single block cost at most 0.5 points on the 1,000 "
        "validation images (95% for all blocks together)."
    )


def test_few_images_are_said_to_be_too_few():
    assert freezing(frozen(1, 0, count=12), (1, 2)).sentence.startswith("12 images are too few to tell which block's")


def test_a_block_whose_routing_does_harm_is_named():
    """No image lost of 1,000 in block 2, with z = 2.24: the lower bound is -2.24 sqrt(1.59) / 1003.2, 0.3 points."""
    assert freezing(frozen(-40, 0, right=900), (1, 2)).sentence == (
        "Mean weights in any single block cost at most 0.3 points on the 1,000 validation images (95% for all blocks together). With "
        "mean weights, the network is better in block 1."
    )
    few = freezing(frozen(-12, 0, count=30, right=10), (1, 2)).sentence
    assert few.startswith("Mean weights in any single block cost at most") and few.endswith("is better in block 1.")


def test_what_is_said_is_reliance_and_never_what_routing_earns():
    finding = freezing(frozen(0, 114), (1, 2))
    assert "what the trained network relies on" in finding.method and "earn" not in finding.sentence + finding.method
    assert finding.table["block"].tolist() == [1, 2]
