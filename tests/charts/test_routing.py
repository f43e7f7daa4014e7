"""Numbers and labels on the charts of routing."""

import re
from itertools import pairwise

import pandas as pd
import pytest

from expertnet.charts.base import GRAY, ORANGE, to_file
from expertnet.charts.heatmaps import class_heatmap
from expertnet.charts.routing import expert_bars, information_bars, probe_bars, scatter


def test_small_amounts_have_no_exponent():
    blocks = pd.DataFrame({"block": [1, 2], "information": [3.2e-5, 0.4567], "chance": 0.0, "chance_high": 1e-5})
    drawn = to_file(information_bars(blocks, 4), "svg").decode()
    assert ">under 0.001<" in drawn and ">0.457<" in drawn
    assert ">0.00<" in drawn and ">2.00<" in drawn  # from 0 to log2 4 bits, whatever the data


def test_what_a_probe_reads_has_an_axis_from_0_to_the_entropy_of_equal_classes():
    blocks = pd.DataFrame({"block": [1, 2], "information": [0.5, 1.2], "error": 0.01})
    ticks = pd.DataFrame({"block": [1, 1, 2, 2], "tick": [0.2, 0.6, 0.1, 0.3]})
    for random in (ticks, ticks.head(0)):
        svg = to_file(probe_bars(blocks, random, 8), "svg").decode()
        assert ">0.00<" in svg and ">3.00<" in svg and ">1.200<" in svg


def test_utilization_has_ticks_from_0_to_the_number_of_experts_whatever_the_data():
    experts = pd.DataFrame({"block": 1, "expert": [1, 2, 3], "weight": 0.33, "utilization": 0.99, "first": 1 / 3})
    svg = to_file(expert_bars(experts), "svg").decode()
    assert all(f">{tick}<" in svg for tick in (0, 1, 2, 3))


@pytest.mark.parametrize(("x", "steps"), [(0.01, 4), (0.5, 4), (0.95, 6)])
def test_both_axes_of_the_plane_have_the_same_scale_and_never_show_less_than_half_a_unit(x, steps):
    points = pd.DataFrame({"image": [1], "class": "cat", "taken for": "dog", "x": x, "y": 0.0})
    for width in (300, 900):
        svg = to_file(scatter(points, [0.6, 0.3]), "svg", width).decode()
        assert ">0.25<" in svg and ">0.5<" in svg
        for_x = re.findall(r'translate\((\d+),0\)" x2="0" y2="5"', svg)
        for_y = re.findall(r'translate\(0,(\d+)\)" x2="-5" y2="0"', svg)
        gaps = [b - a for ticks in (for_x, for_y) for a, b in pairwise(sorted(map(int, ticks)))]
        assert min(len(for_x), len(for_y)) - 1 == steps  # of a quarter, along the shorter side
        assert max(gaps) - min(gaps) <= 1  # in whole pixels


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
