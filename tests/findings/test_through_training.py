"""What is said about the course of a training."""

import math

import pytest

from expertnet.findings import experts, through_training
from expertnet.findings.through_training import routing_so_far


def history(*bits):
    return [
        {"epoch": n, "expert_usage": [[0.5, 0.5]], "routing_entropy": [0.25], "routing_information": [each]}
        for n, each in enumerate(bits, 1)
    ]


def sentences(*bits):
    return [finding.sentence for finding in through_training.through_training(history(*bits), "test set")]


def test_the_course_is_described_from_the_first_epoch_to_the_last():
    assert sentences(1.7e-6, 0.0123)[2] == (
        "Averaged over the blocks, the information about the class went from under 0.001 bits to 0.012 bits between epochs 1 and 2."
    )
    assert sentences(1.7e-6, 0.00027)[2] == (
        "Averaged over the blocks, the information about the class is under 0.001 bits after epoch 2, as after epoch 1."
    )
    assert sentences(0.5)[2] == "Averaged over the blocks, the information about the class is 0.500 bits after epoch 1."
    assert sentences(0.5)[1] == "Averaged over the blocks, the mean entropy of single images is 0.250 after epoch 1."


def test_the_method_gives_the_unit_and_what_was_measured_on():
    for finding, unit in zip(
        through_training.through_training(history(0.5), "test set"), ("nats", "nats", "bits"), strict=True
    ):
        assert unit in finding.method and finding.method.endswith("Measured on the test set after every epoch.")


def test_without_routing_there_is_nothing_to_describe():
    assert through_training.through_training([{"epoch": 1}], "test set") == []
    assert through_training.training_utilization([{"epoch": 1}], 1, "test set") is None


def test_experts_of_a_block_are_ranked_unless_their_use_is_equal():
    assert through_training.training_utilization(history(0.5), 1, "test set").sentence == experts.ALIKE
    uneven = [{"epoch": 1, "expert_usage": [[0.75, 0.25]]}]
    assert through_training.training_utilization(uneven, 1, "test set").sentence == (
        "After epoch 1, expert 1 of block 1 is used 1.50 times a fair share, and expert 2, 0.50 times."
    )


EVEN, CHOSEN, MIXED = math.log(2), 0.1, 0.5  # mean entropies of images, for two experts


@pytest.mark.parametrize(
    ("usage", "entropies", "sentence"),
    [
        (
            [[0.5, 0.5]] * 4,
            [EVEN, EVEN, EVEN, CHOSEN],
            "Block 4 chooses an expert for each image; blocks 1 to 3 give all images nearly the same weights.",
        ),
        ([[0.99, 0.01]] * 2, [0.05, 0.05], "Blocks 1 and 2 mostly use one expert."),
        (
            [[0.5, 0.5]] * 6,
            [MIXED, MIXED, MIXED, EVEN, MIXED, None],
            "Blocks 1 to 3 and 5 mix their experts for each image; block 4 gives all images nearly the same weights.",
        ),
    ],
)
def test_the_routing_so_far_is_one_sentence(usage, entropies, sentence):
    row = {"epoch": 3, "expert_usage": usage, "routing_entropy": entropies, "routing_information": [0.1] * len(usage)}
    assert routing_so_far([{"epoch": 2}, row], 2) == sentence


def test_without_a_measured_routing_nothing_is_said():
    assert routing_so_far([], 3) == routing_so_far([{"epoch": 1}], 3) == ""
