"""Mistakes that are routed like one class or the other."""

import torch

from expertnet.routing.mistakes import mistakes_table
from tests.support.lab import one_hot

LABELS = torch.arange(400) % 4
BY_CLASS = one_hot(LABELS, 4)  # each class has its own expert
CONSTANT = torch.tensor([0.5, 0.3, 0.2]).expand(400, 2, 3)


def test_the_share_of_mistakes_routed_like_the_predicted_class():
    predictions = LABELS.clone()
    predictions[:40] = (LABELS[:40] + 1) % 4
    like_the_other = one_hot(predictions, 4)
    row = mistakes_table(like_the_other, LABELS, predictions, 4).iloc[0]
    assert (row["share"], row["mistakes"]) == (1, 40)
    assert 0.9 < row["low"] < 1
    row = mistakes_table(BY_CLASS, LABELS, predictions, 4).iloc[0]
    assert row["share"] == 0
    assert mistakes_table(CONSTANT, LABELS, predictions, 4)["share"].tolist() == [0.5, 0.5]
    assert mistakes_table(BY_CLASS, LABELS, LABELS, 4).empty
