"""The charts of many runs: what is drawn is what was measured, smoothed and placed as it says."""

import math

import numpy as np
import pandas as pd
import pytest

from expertnet.charts.runs import NAMED, differing, overlay, parallel, smoothed, thinned, what_goes_with
from expertnet.settings.fields import display_value


def curves(runs=2, epochs=5):
    rows = [
        {
            "run": f"run {r}",
            "best": 0.1 * (r % 9),
            "epoch": n,
            "images": 100.0 * n,
            "elapsed": 2.5 * n,
            "value": r + n,
        }
        for r in range(runs)
        for n in range(1, epochs + 1)
    ]
    return pd.DataFrame(rows, columns=["run", "best", "epoch", "images", "elapsed", "value"]).astype({"value": float})


def drawn(chart):
    """The rows that a chart draws, and its layers."""
    spec = chart.to_dict()
    return [row for rows in spec["datasets"].values() for row in rows], spec["layer"]


def over(curves, *arguments, **options):
    return overlay(curves, curves.groupby("run", sort=False)["best"].first(), *arguments, **options)


def test_smoothing_is_a_mean_that_keeps_its_share_and_starts_right():
    table = curves()
    assert smoothed(table, 0.0).tolist() == table["value"].tolist()
    share = 0.6
    running, weight, expected = 0.0, 0.0, []
    for value in table[table["run"] == "run 0"]["value"]:
        running, weight = share * running + (1 - share) * value, share * weight + (1 - share)
        expected.append(running / weight)
    assert smoothed(table, share)[:5].tolist() == pytest.approx(expected)
    assert smoothed(table.assign(value=3.0), 0.99).tolist() == pytest.approx([3.0] * 10)


def test_a_run_is_not_smoothed_into_the_next_and_a_gap_stays_a_gap_of_its_own():
    table = curves()
    mixed = table.sample(frac=1, random_state=0).sort_values("epoch")
    assert smoothed(mixed, 0.5).sort_index().tolist() == pytest.approx(smoothed(table, 0.5).tolist())
    table.loc[1, "value"] = math.nan
    whole = table.dropna()
    assert smoothed(table, 0.5)[whole.index].tolist() == pytest.approx(smoothed(whole, 0.5).tolist())


def test_thinning_keeps_the_ends_of_every_run():
    table = curves(50, 101)
    few = thinned(table, 1000)
    assert len(few) <= 1000 + 50 and thinned(table, len(table)) is table
    for _, run in few.groupby("run"):
        assert run["epoch"].min() == 1 and run["epoch"].max() == 101 and len(run) > 10


def test_a_logarithmic_axis_leaves_out_what_has_no_logarithm():
    table = curves(1)
    table.loc[0, "value"] = 0.0
    rows, layers = drawn(over(table, "epoch", "Loss", log=True))
    assert [row["epoch"] for row in rows] == [2, 3, 4, 5]
    assert layers[0]["encoding"]["y"]["scale"]["type"] == "log"


@pytest.mark.parametrize("x", ["epoch", "images", "elapsed"])
def test_each_axis_shows_its_own_column_and_leaves_out_what_is_not_known(x):
    table = curves()
    table.loc[table["run"] == "run 1", x] = math.nan
    rows, layers = drawn(over(table, x, "Accuracy", percent=True))
    assert {row["run"] for row in rows} == {"run 0"} and [row[x] for row in rows] == curves(1)[x].tolist()
    assert layers[-1]["encoding"]["x"]["field"] == x


def test_smoothed_curves_have_what_was_measured_faintly_behind():
    rows, (behind, front) = drawn(over(curves(), "epoch", "Accuracy", share=0.9))
    assert (behind["encoding"]["y"]["field"], front["encoding"]["y"]["field"]) == ("value", "smooth")
    assert behind["encoding"]["opacity"]["condition"]["value"] < front["encoding"]["opacity"]["condition"]["value"]
    assert any(row["smooth"] != row["value"] for row in rows)
    assert len(drawn(over(curves(), "epoch", "Accuracy"))[1]) == 1


def test_thirty_curves_differ_in_colour_or_dash_and_more_are_coloured_by_accuracy():
    _, (front,) = drawn(over(curves(NAMED), "epoch", "Accuracy"))
    pairs = zip(*(map(str, front["encoding"][look]["scale"]["range"]) for look in ("color", "strokeDash")), strict=True)
    assert len(set(pairs)) == NAMED
    _, (front,) = drawn(over(curves(NAMED + 1), "epoch", "Accuracy"))
    assert front["encoding"]["color"]["field"] == "best" and front["encoding"]["detail"]["field"] == "run"


def test_nothing_to_draw_is_drawn_all_the_same():
    assert drawn(over(curves(0), "epoch", "Accuracy", share=0.5))[0] == []


def table(**columns):
    count = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=[f"run {n}" for n in range(count)], dtype=object)


def test_what_is_alike_in_all_runs_is_left_out():
    found = differing(table(a=[1, 1], b=[True, False], c=[(1, 2), (1, 2)], d=[(), (1,)], e=[1, True]))
    assert found.columns.tolist() == ["b", "d", "e"]


def places(chart, setting):
    rows, _ = drawn(chart)
    return {row["value"]: row["place"] for row in rows if row.get("setting") == setting}


def test_values_stand_where_they_belong_between_the_ends_of_their_axes():
    settings = table(lr=[0.001, 0.01, 0.1], width=[10, 15, 20], residual=[True, False, True], kind=["a", "b", "c"])
    accuracy = pd.Series([0.5, 0.6, 0.7], index=settings.index)
    chart = parallel(settings, accuracy, {"lr": "Rate"}, display_value, "Best")
    assert places(chart, "Rate") == pytest.approx({"0.001": 0, "0.01": 0.5, "0.1": 1})  # logarithmic
    assert places(chart, "width") == pytest.approx({"10": 0, "15": 0.5, "20": 1})
    assert places(chart, "residual") == {"off": 0, "on": 1}
    assert places(chart, "kind") == {"a": 0, "b": 0.5, "c": 1}
    assert places(chart, "Best") == pytest.approx({"50.0%": 0, "60.0%": 0.5, "70.0%": 1})


def test_labels_of_an_axis_keep_apart():
    generator = np.random.default_rng(0)
    settings = table(width=generator.integers(1, 1000, 200).tolist())
    accuracy = pd.Series(generator.random(200), index=settings.index)
    rows, _ = drawn(parallel(settings, accuracy, {}, display_value, "Best"))
    labels = [row for row in rows if "text" in row]
    for axis in (0, 1):
        heights = sorted(row["place"] for row in labels if row["x"] == axis)
        assert heights[0] == 0 and heights[-1] == 1 and min(np.diff(heights)) >= 0.069


def test_runs_that_are_all_alike_can_be_drawn():
    settings = table(lr=[0.1, 0.1])
    chart = parallel(settings, pd.Series([0.5, 0.5], index=settings.index), {}, display_value, "Best")
    assert chart.to_dict()["layer"]


def looks(chart):
    """The look of each run by its name: colour and dash, or the ends of the scale of its accuracy."""
    lines = next(layer for layer in chart.to_dict()["layer"] if "color" in layer["encoding"])
    scales = [lines["encoding"][look]["scale"] for look in ("color", "strokeDash") if look in lines["encoding"]]
    if len(scales) == 1:
        return scales[0]
    return {
        run: tuple(map(str, look))
        for run, *look in zip(scales[0]["domain"], *(s["range"] for s in scales), strict=True)
    }


@pytest.mark.parametrize("count", [5, NAMED, NAMED + 1])
def test_a_run_looks_alike_in_all_charts_whatever_else_they_leave_out(count):
    values, without = curves(count), {"run 0", "run 3"}
    runs = pd.Series({f"run {n}": 0.5 + n / 100 for n in range(count)})
    settings = table(lr=list(range(count))).iloc[2:]  # the first ones' cannot be read
    drawn_looks = looks(overlay(values[~values["run"].isin(without)], runs, "epoch", "Accuracy"))
    assert looks(parallel(settings, runs, {}, display_value, "Best")) == drawn_looks
    assert (set(drawn_looks) == set(runs.index)) == (count <= NAMED)


def test_the_legend_names_the_curves_that_are_there():
    values = curves(5)
    runs = pd.Series({f"run {n}": 0.5 for n in range(5)})
    (lines,) = drawn(overlay(values[values["run"] != "run 1"], runs, "epoch", "Accuracy"))[1]
    assert lines["encoding"]["color"]["legend"]["values"] == ["run 0", "run 2", "run 3", "run 4"]


def test_every_label_has_a_halo_of_the_page_below_it():
    settings = table(lr=[1, 2, 3])
    layers = parallel(settings, pd.Series([0.1, 0.2, 0.3], index=settings.index), {}, display_value, "Best").to_dict()[
        "layer"
    ]
    texts = [layer for layer in layers if layer["mark"]["type"] == "text"]
    for halo, text in zip(texts[::2], texts[1::2], strict=True):
        assert halo["mark"]["stroke"] == {"expr": "background"} and "stroke" not in text["mark"]
        assert all(halo[key] == text[key] for key in ("encoding", "transform"))
    assert layers.index(texts[0]) == 2  # after all lines


def test_what_goes_with_accuracy_is_told_with_its_direction():
    count = 20
    settings = table(
        lr=list(range(count)),
        decay=list(range(count, 0, -1)),
        residual=[n >= count // 2 for n in range(count)],
        same=[3] * count,
    )
    accuracy = pd.Series(np.linspace(0.1, 0.9, count), index=settings.index)
    told = what_goes_with(settings, accuracy, {"lr": "Rate"}, display_value)
    assert "20 runs" in told and "no proof" in told and "same" not in told
    assert "a higher “Rate” (+1.00)" in told and "a lower “decay” (−1.00)" in told
    assert "“residual” on rather than off" in told
    turned = what_goes_with(settings[["residual"]], -accuracy, {}, display_value)
    assert "“residual” off rather than on" in turned


def test_chance_alone_is_not_told_as_a_finding():
    generator = np.random.default_rng(1)
    claims = 0
    for _ in range(100):
        settings = table(**{f"s{n}": generator.random(12).tolist() for n in range(10)})
        accuracy = pd.Series(generator.random(12), index=settings.index)
        claims += "no single setting" not in what_goes_with(settings, accuracy, {}, display_value)
    assert claims <= 10  # of a hundred tables in which there is nothing to find


@pytest.mark.parametrize("count", [0, 1, 7])
def test_of_few_runs_nothing_is_told(count):
    settings = table(lr=list(range(count)))
    assert what_goes_with(settings, pd.Series(range(count), index=settings.index, dtype=float), {}, display_value) == ""


def test_values_are_written_for_people():
    assert [display_value(value) for value in (True, False, (), (1, 2), 0.0003, "adamw")] == [
        "on",
        "off",
        "none",
        "1,2",
        "0.0003",
        "adamw",
    ]
