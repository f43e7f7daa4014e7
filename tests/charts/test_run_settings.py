"""Settings against accuracy: what is drawn and said is what was measured."""

import numpy as np
import pandas as pd
import pytest

from expertnet.charts.run_settings import describe_correlations, differing, parallel
from expertnet.settings.fields import display_value
from tests.support.charts import drawn


def table(**columns):
    count = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=[f"run {n}" for n in range(count)], dtype=object)


def test_settings_that_do_not_differ_are_left_out():
    found = differing(table(a=[1, 1], b=[True, False], c=[(1, 2), (1, 2)], d=[(), (1,)], e=[1, True]))
    assert found.columns.tolist() == ["b", "d", "e"]


def places(chart, setting):
    rows, _ = drawn(chart)
    return {row["value"]: row["place"] for row in rows if row.get("setting") == setting}


def test_values_have_their_position_between_the_ends_of_an_axis():
    settings = table(Rate=[0.001, 0.01, 0.1], width=[10, 15, 20], residual=[True, False, True], kind=["a", "b", "c"])
    accuracy = pd.Series([0.5, 0.6, 0.7], index=settings.index)
    chart = parallel(settings, accuracy, display_value)
    assert places(chart, "Rate") == pytest.approx({"0.001": 0, "0.01": 0.5, "0.1": 1})  # logarithmic
    assert places(chart, "width") == pytest.approx({"10": 0, "15": 0.5, "20": 1})
    assert places(chart, "residual") == {"off": 0, "on": 1}
    assert places(chart, "kind") == {"a": 0, "b": 0.5, "c": 1}
    assert places(chart, "Best accuracy") == pytest.approx({"50.0%": 0, "60.0%": 0.5, "70.0%": 1})


def test_labels_of_an_axis_do_not_overlap():
    generator = np.random.default_rng(0)
    settings = table(width=generator.integers(1, 1000, 200).tolist())
    accuracy = pd.Series(generator.random(200), index=settings.index)
    rows, _ = drawn(parallel(settings, accuracy, display_value))
    labels = [row for row in rows if "text" in row]
    for axis in (0, 1):
        heights = sorted(row["place"] for row in labels if row["x"] == axis)
        assert heights[0] == 0 and heights[-1] == 1 and min(np.diff(heights)) >= 0.069


def test_runs_that_do_not_differ_can_be_drawn():
    settings = table(lr=[0.1, 0.1])
    chart = parallel(settings, pd.Series([0.5, 0.5], index=settings.index), display_value)
    assert chart.to_dict()["layer"]


def test_labels_have_a_halo_in_the_color_of_the_page():
    settings = table(lr=[1, 2, 3])
    layers = parallel(settings, pd.Series([0.1, 0.2, 0.3], index=settings.index), display_value).to_dict()["layer"]
    texts = [layer for layer in layers if layer["mark"]["type"] == "text"]
    for halo, text in zip(texts[::2], texts[1::2], strict=True):
        assert halo["mark"]["stroke"] == {"expr": "background"} and "stroke" not in text["mark"]
        assert all(halo[key] == text[key] for key in ("encoding", "transform"))
    assert layers.index(texts[0]) == 2  # after all lines


def test_a_correlation_is_described_with_its_direction():
    count = 20
    settings = table(
        Rate=list(range(count)),
        decay=list(range(count, 0, -1)),
        residual=[n >= count // 2 for n in range(count)],
        same=[3] * count,
    )
    accuracy = pd.Series(np.linspace(0.1, 0.9, count), index=settings.index)
    sentence = describe_correlations(settings, accuracy, display_value)
    assert "20 runs" in sentence and "no proof" in sentence and "same" not in sentence
    assert "a higher “Rate” (+1.00)" in sentence and "a lower “decay” (−1.00)" in sentence
    assert "“residual” on rather than off" in sentence
    turned = describe_correlations(settings[["residual"]], -accuracy, display_value)
    assert "“residual” off rather than on" in turned


@pytest.mark.slow
def test_chance_alone_is_not_described_as_a_finding():
    generator = np.random.default_rng(1)
    claims = 0
    for _ in range(100):
        settings = table(**{f"s{n}": generator.random(12).tolist() for n in range(10)})
        accuracy = pd.Series(generator.random(12), index=settings.index)
        claims += "no single setting" not in describe_correlations(settings, accuracy, display_value)
    assert claims <= 10  # of a hundred tables in which there is nothing to find


@pytest.mark.parametrize("count", [0, 1, 7])
def test_few_runs_have_no_description(count):
    settings = table(lr=list(range(count)))
    assert (
        describe_correlations(settings, pd.Series(range(count), index=settings.index, dtype=float), display_value) == ""
    )
