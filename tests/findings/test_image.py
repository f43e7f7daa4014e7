"""What is said about the routing of one image."""

import torch

from expertnet.findings.image import entropies


def test_a_block_is_the_most_decisive_only_among_several():
    """(1, 0) has an entropy of 0, and an even split of two ln 2."""
    weights = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    assert entropies(weights, "entropy").sentence == (
        "Block 2 is the most decisive: its entropy is 0.00. An even split has 0.69."
    )
    even = torch.tensor([[0.5, 0.5], [0.48, 0.52]])
    assert entropies(even, "entropy").sentence == (
        "All blocks split their weight almost evenly, with an entropy of 0.69. An even split has 0.69."
    )
    assert "with an entropy of 0.68 to 0.69." in entropies(torch.tensor([[0.5, 0.5], [0.58, 0.42]]), "entropy").sentence
    assert entropies(weights, "entropy", [1]).sentence == "Block 1 has an entropy of 0.69. An even split has 0.69."


def test_no_block_of_single_experts_is_the_most_decisive():
    assert entropies(torch.ones(3, 1), "entropy").sentence == "Each block has a single expert, so its entropy is 0."
