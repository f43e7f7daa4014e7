"""Tables of routing weights."""

import torch

from expertnet.routing.weights import class_table


def test_tables_count_from_one_and_sum_to_one():
    weights = torch.tensor([[[0.2, 0.8], [0.5, 0.5]], [[0.6, 0.4], [0.1, 0.9]]])
    table = class_table(weights, torch.tensor([0, 0]), ["cat"])
    assert table.columns.tolist() == ["class", "block", "expert", "weight"]
    assert table[["block", "expert"]].values.tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    torch.testing.assert_close(torch.tensor(table["weight"].tolist()), torch.tensor([0.4, 0.6, 0.3, 0.7]))
    assert (table.groupby("block")["weight"].sum() - 1).abs().max() < 1e-6


def test_classes_without_images_are_left_out():
    weights = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert set(class_table(weights, torch.tensor([0, 2]), ["a", "b", "c"])["class"]) == {"a", "c"}
