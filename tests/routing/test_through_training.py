"""Tables of the routing of every epoch."""

import math

import pytest

from expertnet.routing.through_training import training_table, utilization_table

LINES = [
    {"epoch": 1, "expert_usage": [[0.5, 0.5]], "routing_entropy": [0.6], "routing_information": [0.1]},
    {"epoch": 2, "expert_usage": [[0.75, 0.25]], "routing_entropy": [0.5], "routing_information": [None]},
    {"epoch": 3},
]


def test_epochs_with_missing_values_have_no_row():
    table = training_table(LINES)
    assert table[["epoch", "block", "mean_entropy", "information"]].values.tolist() == [[1, 1, 0.6, 0.1]]
    assert table["entropy_of_mean"][0] == pytest.approx(math.log(2))


def test_blocks_without_experts_have_no_rows():
    line = {"epoch": 1, "expert_usage": [[1.0, 0.0], [0.5, 0.5]]}
    line |= {"routing_entropy": [None, 0.6], "routing_information": [None, 0.1]}
    assert training_table([line])[["block", "mean_entropy"]].values.tolist() == [[2, 0.6]]


def test_utilization_is_relative_to_a_fair_share():
    assert utilization_table(LINES)[["epoch", "expert", "utilization"]].values.tolist() == [
        [1, 1, 1.0],
        [1, 2, 1.0],
        [2, 1, 1.5],
        [2, 2, 0.5],
    ]
