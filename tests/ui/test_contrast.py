"""The contrast of text, from the theme in config.toml and the colors of charts."""

import re
import tomllib

import pandas as pd
import pytest

from expertnet.charts.base import BLUE, GRAY, TEXT, specification, to_file
from expertnet.charts.heatmaps import confusion_matrix, difference_heatmap, factor_heatmap, routing_heatmap
from expertnet.charts.predictions import probability_bars
from tests.support.served import ROOT

THEMES = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
CAPTION = 0.6  # how opaque Streamlit draws captions and the labels of tables


def channels(color):
    return [int(color[at : at + 2], 16) for at in (1, 3, 5)]


def mixed(color, background, share):
    return [share * a + (1 - share) * b for a, b in zip(channels(color), channels(background), strict=True)]


def luminance(rgb):
    """Return the relative luminance of WCAG 2.2."""
    linear = [
        value / 255 / 12.92 if value / 255 <= 0.04045 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in rgb
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_ratio_is_that_of_black_on_white_and_of_a_known_gray():
    assert contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert contrast(channels("#767676"), channels("#FFFFFF")) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_captions_are_legible(theme):
    colors = THEMES[theme]
    for background in (colors["backgroundColor"], colors["secondaryBackgroundColor"]):
        assert contrast(mixed(colors["textColor"], background, CAPTION), channels(background)) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_buttons_and_selected_segments_are_legible(theme):
    colors = THEMES[theme]
    assert contrast(channels("#FFFFFF"), channels(colors["primaryColor"])) >= 4.5
    segment = mixed(colors["primaryColor"], colors["backgroundColor"], 0.1)
    assert contrast(channels(colors["textColor"]), segment) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_of_charts_stand_out(theme):
    for color in (BLUE, GRAY):
        assert contrast(channels(color), channels(THEMES[theme]["backgroundColor"])) >= 3


def test_text_in_charts_has_the_text_color_of_the_page():
    spec = specification(probability_bars(pd.DataFrame({"label": ["cat", "dog"], "probability": [0.9, 0.1]})))
    assert spec["config"]["axis"] == {"labelColor": TEXT, "titleColor": TEXT} and TEXT == "currentColor"
    (text,) = [layer["mark"] for layer in spec["layer"] if layer["mark"]["type"] == "text"]
    assert text["color"] == TEXT


def painted(fill):
    """Return the channels of a color as SVG writes it."""
    named = {"white": [255, 255, 255], "black": [0, 0, 0]}
    return named.get(fill) or (channels(fill) if fill[0] == "#" else [*map(int, re.findall(r"\d+", fill))])


SHARES = [step / 100 for step in range(101)]
CLASSES = "abcdefghijkl"
HEATMAPS = {
    "weights": routing_heatmap(pd.DataFrame({"block": SHARES, "expert": 1, "weight": SHARES})),
    "shares": factor_heatmap(pd.DataFrame({"block": SHARES, "factor": "size", "share": SHARES})),
    "differences": difference_heatmap(
        pd.DataFrame({"block": SHARES, "expert": 1, "change": [2 * share - 1 for share in SHARES]}),
        "block",
        "change",
        "change",
    ),
    "confusions": confusion_matrix(  # one right answer, and mistakes that are ever more frequent
        pd.DataFrame({"class": [*CLASSES], "answer": [*"a", *CLASSES[:-1]], "images": 1, "share": [1, *SHARES[::10]]}),
        CLASSES,
    ),
}


@pytest.mark.parametrize("chart", HEATMAPS)
def test_numbers_on_cells_are_legible_along_the_whole_color_scale(chart):
    svg = to_file(HEATMAPS[chart], "svg").decode()
    cells, inks = (re.findall(f'roledescription="{mark} mark" [^>]*fill="(.+?)"', svg) for mark in ("rect", "text"))
    assert len(set(cells)) > 10
    for cell, ink in zip(cells, inks, strict=True):
        assert contrast(painted(ink), painted(cell)) >= 4.5, (cell, ink)
