"""Measures of routing against calculations by hand."""

import math

import torch

from expertnet.network.routing_metrics import entropy, information


def test_entropy_of_one_expert_and_of_an_even_split():
    weights = torch.tensor([[[1.0, 0, 0, 0], [0.25] * 4]])
    torch.testing.assert_close(entropy(weights), torch.tensor([[0.0, math.log(4)]], dtype=torch.float64))


def test_information_is_log2_k_if_the_class_decides_and_0_otherwise():
    labels = torch.arange(8).repeat(5) % 4
    decided = torch.eye(2)[labels % 2][:, None]  # two classes to each of two experts
    constant = torch.tensor([0.7, 0.3]).expand(40, 1, 2)
    own_business = torch.eye(2)[(torch.arange(40) // 4) % 2][:, None]  # decisive, but not by class
    both = torch.cat([decided, constant, own_business], 1)
    torch.testing.assert_close(
        information(both, labels, 4), torch.tensor([1.0, 0, 0], dtype=torch.float64), rtol=0, atol=1e-6
    )


def test_a_class_without_images_changes_nothing():
    labels = torch.tensor([0, 0, 2, 2])
    weights = torch.eye(2)[labels // 2][:, None]
    torch.testing.assert_close(information(weights, labels, 3), information(weights, labels // 2, 2))
