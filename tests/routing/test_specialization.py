"""Specializations are named where both halves of the images agree."""

import pytest
import torch

from expertnet.routing.specialization import halves, specializations
from tests.support.lab import ANIMALS, one_hot

LABELS = torch.arange(400) % 4
BY_CLASS = one_hot(LABELS, 4)  # each class has its own expert
CONSTANT = torch.tensor([0.5, 0.3, 0.2]).expand(400, 2, 3)


def test_halves_share_every_class_and_no_image():
    first, second = halves(LABELS)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(400))
    assert torch.equal(LABELS[first].bincount(), LABELS[second].bincount())


def test_a_specialization_is_named_if_both_halves_agree():
    table = specializations(BY_CLASS, LABELS, ANIMALS)
    assert table["class"].tolist() == list(ANIMALS)
    assert table["ratio"].tolist() == pytest.approx([4, 4, 4, 4])


def test_no_specialization_is_named_if_halves_disagree_or_nothing_differs():
    first, second = halves(LABELS)
    contrary = torch.zeros(400, 1, 4)
    contrary[first], contrary[second] = BY_CLASS[first], one_hot((LABELS + 1) % 4, 4)[second]
    assert set(specializations(contrary, LABELS, ANIMALS)["class"]) == {""}
    assert set(specializations(CONSTANT, LABELS, ANIMALS)["class"]) == {""}


def test_an_expert_that_is_hardly_used_specializes_in_nothing():
    routing = 0.01 * BY_CLASS  # each class raises the weight of its expert, but a fifth expert takes nearly all of it
    routing = torch.cat([routing, 1 - routing.sum(2, keepdim=True)], 2)
    table = specializations(routing, LABELS, ANIMALS)
    assert table["ratio"].tolist()[:4] == pytest.approx([4, 4, 4, 4])
    assert set(table["class"]) == {""}
