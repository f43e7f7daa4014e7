"""The contrast of text, from the theme in config.toml and the colors of charts."""

import tomllib

import pandas as pd
import pytest

from expertnet.charts.base import BLUE, GRAY, TEXT, specification
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
