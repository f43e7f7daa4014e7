"""Specializations are what chance does not explain, and independent labels show none but by chance."""

import pytest
import torch

from expertnet.routing.chance import chance
from expertnet.routing.specialization import specializations
from tests.support.lab import ANIMALS, one_hot

LABELS = torch.arange(400) % 4
BY_CLASS = one_hot(LABELS, 4)  # each class has its own expert


def found(routing, labels=LABELS, classes=ANIMALS):
    return specializations(routing, labels, classes, chance(routing, labels))


def test_every_class_that_raises_the_weight_of_an_expert_is_found_with_its_effect():
    assert found(BY_CLASS).values.tolist() == [[1, k, ANIMALS[k - 1], 1.0, 0.75, 4.0, 0.001] for k in (1, 2, 3, 4)]
    shared = found(one_hot(LABELS // 2, 2))  # two classes per expert
    assert shared[["expert", "class"]].values.tolist() == [[1, "cat"], [1, "dog"], [2, "eel"], [2, "fox"]]
    assert shared["ratio"].tolist() == pytest.approx([2] * 4)


def test_classes_without_images_keep_the_others_names():
    assert found(one_hot(LABELS // 2, 2), 2 * (LABELS // 2) + 1)["class"].tolist() == ["dog", "fox"]


def test_an_expert_that_is_hardly_used_specializes_in_nothing():
    routing = 0.01 * BY_CLASS  # each class raises the weight of its expert, but a fifth expert takes nearly all of it
    routing = torch.cat([routing, 1 - routing.sum(2, keepdim=True)], 2)
    assert found(routing).empty


def test_constant_routing_and_a_single_class_have_no_specializations():
    assert found(torch.tensor([0.5, 0.3, 0.2]).expand(400, 2, 3)).empty
    assert found(BY_CLASS, torch.ones_like(LABELS)).empty


@pytest.mark.long
def test_independent_labels_have_a_specialization_in_a_twentieth_of_cases():
    alarms = 0
    for seed in range(200):  # each routing has 2 blocks, skewed weights and classes of 2 to 30 images
        generator = torch.Generator().manual_seed(seed)
        routing = (3 * torch.randn(60, 2, 3, generator=generator)).softmax(2)
        labels = torch.tensor([0] * 2 + [1] * 10 + [2] * 18 + [3] * 30)[torch.randperm(60, generator=generator)]
        alarms += not found(routing, labels).empty
    assert 3 <= alarms <= 19  # of 200 draws at 5%, fewer or more come with a probability of 0.6%
