"""Curves of many runs: what is drawn is what was measured, and a run looks the same everywhere."""

import math
from urllib.parse import unquote

import pandas as pd
import pytest

from expertnet.charts.run_settings import parallel
from expertnet.charts.runs import NAMED, line_sample, overlay, run_looks, smoothed, thinned
from tests.support.charts import drawn


def curves(runs=2, epochs=5):
    rows = [
        {"run": f"run {r}", "best": 0.1 * (r % 9), "epoch": n, "images": 100.0 * n, "elapsed": 2.5 * n, "value": r + n}
        for r in range(runs)
        for n in range(1, epochs + 1)
    ]
    return pd.DataFrame(rows, columns=["run", "best", "epoch", "images", "elapsed", "value"]).astype({"value": float})


def over(curves, *arguments, **options):
    return overlay(curves, curves.groupby("run", sort=False)["best"].first(), *arguments, **options)


def test_smoothing_is_a_moving_average_corrected_for_its_start():
    table = curves()
    assert smoothed(table, 0.0).tolist() == table["value"].tolist()
    share = 0.6
    running, weight, expected = 0.0, 0.0, []
    for value in table[table["run"] == "run 0"]["value"]:
        running, weight = share * running + (1 - share) * value, share * weight + (1 - share)
        expected.append(running / weight)
    assert smoothed(table, share)[:5].tolist() == pytest.approx(expected)
    assert smoothed(table.assign(value=3.0), 0.99).tolist() == pytest.approx([3.0] * 10)


def test_smoothing_keeps_runs_and_gaps_apart():
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


def test_a_logarithmic_axis_leaves_out_zero():
    table = curves(1)
    table.loc[0, "value"] = 0.0
    rows, layers = drawn(over(table, "epoch", "Loss", log=True))
    assert [row["epoch"] for row in rows] == [2, 3, 4, 5]
    assert layers[0]["encoding"]["y"]["scale"]["type"] == "log"


@pytest.mark.parametrize("x", ["epoch", "images", "elapsed"])
def test_each_axis_shows_its_column_and_leaves_out_unknown_values(x):
    table = curves()
    table.loc[table["run"] == "run 1", x] = math.nan
    rows, layers = drawn(over(table, x, "Accuracy", percent=True))
    assert {row["run"] for row in rows} == {"run 0"} and [row[x] for row in rows] == curves(1)[x].tolist()
    assert layers[-1]["encoding"]["x"]["field"] == x


def test_smoothed_curves_have_the_measured_values_faintly_behind():
    rows, (behind, front) = drawn(over(curves(), "epoch", "Accuracy", share=0.9))
    assert (behind["encoding"]["y"]["field"], front["encoding"]["y"]["field"]) == ("value", "smooth")
    assert behind["encoding"]["opacity"]["condition"]["value"] < front["encoding"]["opacity"]["condition"]["value"]
    assert any(row["smooth"] != row["value"] for row in rows)
    assert len(drawn(over(curves(), "epoch", "Accuracy"))[1]) == 1


def test_thirty_curves_differ_in_color_or_dash_and_more_are_colored_by_accuracy():
    _, (front,) = drawn(over(curves(NAMED), "epoch", "Accuracy"))
    pairs = zip(*(map(str, front["encoding"][look]["scale"]["range"]) for look in ("color", "strokeDash")), strict=True)
    assert len(set(pairs)) == NAMED
    _, (front,) = drawn(over(curves(NAMED + 1), "epoch", "Accuracy"))
    assert front["encoding"]["color"]["field"] == "best" and front["encoding"]["detail"]["field"] == "run"


def test_no_curves_make_an_empty_chart():
    assert drawn(over(curves(0), "epoch", "Accuracy", share=0.5))[0] == []


def looks(chart):
    """The look of each run by its name: color and dash, or the ends of the scale of its accuracy."""
    lines = next(layer for layer in chart.to_dict()["layer"] if "color" in layer["encoding"])
    scales = [lines["encoding"][look]["scale"] for look in ("color", "strokeDash") if look in lines["encoding"]]
    if len(scales) == 1:
        return scales[0]
    return {
        run: tuple(map(str, look))
        for run, *look in zip(scales[0]["domain"], *(s["range"] for s in scales), strict=True)
    }


@pytest.mark.parametrize("count", [5, NAMED, NAMED + 1])
def test_a_run_looks_the_same_in_all_charts(count):
    values, without = curves(count), {"run 0", "run 3"}
    runs = pd.Series({f"run {n}": 0.5 + n / 100 for n in range(count)})
    settings = pd.DataFrame({"lr": range(count)}, index=runs.index).iloc[2:]  # two runs have no readable settings
    drawn_looks = looks(overlay(values[~values["run"].isin(without)], runs, "epoch", "Accuracy"))
    assert looks(parallel(settings, runs, str)) == drawn_looks
    assert (set(drawn_looks) == set(runs.index)) == (count <= NAMED)


def test_the_legend_names_the_drawn_curves():
    values = curves(5)
    runs = pd.Series({f"run {n}": 0.5 for n in range(5)})
    (lines,) = drawn(overlay(values[values["run"] != "run 1"], runs, "epoch", "Accuracy"))[1]
    assert lines["encoding"]["color"]["legend"]["values"] == ["run 0", "run 2", "run 3", "run 4"]


def test_the_sample_of_a_line_has_its_color_and_dash():
    names = [f"run {n}" for n in range(NAMED)]
    looks = run_looks(pd.Series(dict.fromkeys(names, 0.5)), names)
    color, dash = (looks[channel].to_dict()["scale"]["range"] for channel in ("color", "strokeDash"))
    for index in range(NAMED):
        image = unquote(line_sample(index))
        assert f'stroke="{color[index]}"' in image
        assert f'stroke-dasharray="{",".join(map(str, dash[index]))}"' in image
