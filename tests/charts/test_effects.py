"""Numbers, labels and marks on the charts of changed routing."""

import pandas as pd

from expertnet.charts.effects import change_dots, weight_and_effect
from tests.support.charts import drawn


def test_labels_are_left_out_where_they_would_overlap():
    table = pd.DataFrame(
        {"block": [1, 1, 2], "expert": [1, 2, 1], "weight": [0.3, 0.31, 0.9], "change": [-0.1, -0.1, -0.2]}
    )
    table = table.assign(low=table["change"] - 0.01, high=table["change"] + 0.01, flipped=3, as_shipped=-0.3)
    layers = weight_and_effect(table, "switched off").to_dict()
    named = [[row["text"] for row in rows if "text" in row] for rows in layers["datasets"].values()]
    assert ["", "", "2.1"] in named
    hollow = [
        sum(layer["mark"].get("filled") is False for layer in weight_and_effect(each, "off").to_dict()["layer"])
        for each in (table, table.drop(columns="as_shipped"))
    ]
    assert hollow == [1, 0]


def test_changes_have_both_figures_and_an_axis_that_holds_all_of_them():
    table = pd.DataFrame(
        {"routing": ["mean weights"], "accuracy": [0.8], "change": [-0.1], "low": [-0.12], "high": [-0.08]}
    ).assign(as_shipped=[-0.2])
    rows, layers = drawn(change_dots(table, "changes"))
    assert [row["text"] for row in rows if "text" in row] == ["mean weights: -10.0 (-20.0 as shipped)"]
    rows, _ = drawn(change_dots(table.assign(change=-0.0001, as_shipped=0.0), "none"))
    assert [row["text"] for row in rows if "text" in row] == ["mean weights: 0.0 (0.0 as shipped)"]
    low, high = layers[0]["encoding"]["x"]["scale"]["domain"]
    assert low < -0.2 and high > 0
