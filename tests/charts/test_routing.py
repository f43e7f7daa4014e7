"""Numbers and labels on the charts of routing."""

import pandas as pd

from expertnet.charts.base import GRAY, ORANGE, to_file
from expertnet.charts.heatmaps import class_heatmap
from expertnet.charts.routing import information_bars, interval_dots, scatter
from tests.support.charts import drawn


def test_small_amounts_have_no_exponent():
    blocks = pd.DataFrame({"block": [1, 2], "information": [3.2e-5, 0.4567], "chance": 0.0, "chance_high": 1e-5})
    drawn = to_file(information_bars(blocks), "svg").decode()
    assert ">under 0.001<" in drawn and ">0.457<" in drawn


def test_intervals_have_their_names_above_and_an_axis_of_shares():
    table = pd.DataFrame({"block": [1, 2], "share": [0.98, 1.0], "low": [0.96, 0.97], "high": [0.99, 1.0]})
    rows, layers = drawn(interval_dots(table, "block", "share", "share", rule=0.9))
    assert [row["text"] for row in rows if "text" in row] == ["block 1: 98.0%", "block 2: 100.0%"]
    low, high = layers[0]["encoding"]["x"]["scale"]["domain"]
    assert 0 <= low < 0.9 and high == 1
    assert layers[-1]["encoding"]["y"]["axis"] is None


def test_a_highlighted_class_is_drawn_in_color_over_the_others_in_gray():
    points = pd.DataFrame({"image": [1, 2, 3], "class": ["cat", "dog", "cat"], "taken for": "dog", "x": 0.0, "y": 0.0})
    svg = to_file(scatter(points, [0.6, 0.3], "cat"), "svg").decode().lower()
    assert svg.count(f'fill="{ORANGE.lower()}"') == 2 and svg.count(f'fill="{GRAY.lower()}"') == 1
    assert svg.index(GRAY.lower()) < svg.index(ORANGE.lower())
    descriptions = [scatter(points, [0.6, 0.3], *name).to_dict()["description"] for name in ((), ("cat",))]
    assert "colored by class" in descriptions[0] and "class cat highlighted" in descriptions[1]


def test_the_row_of_a_highlighted_class_has_a_frame():
    table = pd.DataFrame({"class": ["cat", "dog"], "block": 1, "expert": 1, "weight": [0.2, 0.8]})
    svg = [to_file(class_heatmap(table, 1, name), "svg").decode() for name in (None, "dog")]
    assert [drawn.count('stroke-width="3"') for drawn in svg] == [0, 1]
