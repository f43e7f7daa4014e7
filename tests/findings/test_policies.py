"""What is said about per-image routing."""

import torch

from expertnet.findings import policies
from expertnet.routing.effects import POLICIES, Effects

LABELS = torch.arange(1000) % 4
SHUFFLED = list(POLICIES).index("shuffled")


def sentence(wrong_learned, wrong_shuffled):
    """The finding if the first so many images are misclassified with either routing."""
    changed = LABELS.expand(len(POLICIES), -1).clone()
    changed[:, :wrong_learned] = (LABELS[:wrong_learned] + 1) % 4
    changed[SHUFFLED] = LABELS
    changed[SHUFFLED, :wrong_shuffled] = (LABELS[:wrong_shuffled] + 1) % 4
    return policies.policies(Effects(LABELS, changed[0], changed)).sentence


def test_no_difference_is_claimed_where_all_predict_the_same():
    assert sentence(10, 10) == (
        "Per-image routing makes no measurable difference on this test set: accuracy is 99.0% with another image's weights and "
        "99.0% with its own."
    )


def test_no_difference_is_claimed_within_the_interval():
    assert "no measurable difference" in sentence(0, 2)


def test_a_loss_beyond_the_interval_is_a_measurable_difference():
    assert sentence(0, 31) == (
        "Per-image routing makes a measurable difference on this test set: with another image's weights, accuracy falls by "
        "3.1 points to 96.9%."
    )


def test_other_images_weights_that_do_better_are_no_gain():
    assert sentence(31, 0).startswith("Per-image routing brings no gain on this test set: accuracy is 100.0% with")
