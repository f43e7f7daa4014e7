"""Tables of the routing of every epoch."""

import json
import math

import pytest

from expertnet.routing.through_training import training_table, utilization_table, variety

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


def test_variety_is_the_information_about_the_image_after_the_last_epoch(tmp_path):
    path = tmp_path / "metrics.jsonl"

    def after(*lines):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return variety(path)

    same = {"epoch": 1, "expert_usage": [[0.5, 0.5]], "routing_entropy": [math.log(2)]}
    apart = {"epoch": 2, "expert_usage": [[0.5, 0.5], [1.0, 0.0]], "routing_entropy": [0.0, None]}
    assert after(apart, same) == pytest.approx(0)
    assert after(same, apart) == pytest.approx(1)  # every image has an expert of its own
    assert after(same, apart | {"expert_usage": [[1.0]], "routing_entropy": [0.0]}) == 0
    assert after({"epoch": 3}) == after() == 0
    path.write_text('{"epoch": 1, "expert_us')
    assert variety(path) == 0
