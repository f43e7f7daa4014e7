"""The curves of training: the reference report's behind them, and ticks that can be told apart."""

import re

import pandas as pd
import pytest

from expertnet.charts.base import to_file
from expertnet.charts.training import REPORT_ACCURACY, learning_curves, report_run, step_curve


def metrics(low=0.1, high=0.9):
    values = {f"{split}_{quantity}": [low, high] for split in ("train", "val") for quantity in ("accuracy", "loss")}
    return pd.DataFrame({"epoch": [1, 2], **values})


def test_the_reports_run_ends_at_its_accuracy():
    table = report_run()
    assert table["epoch"].tolist() == list(range(61, 101))
    assert table["accuracy"].iloc[-1] == pytest.approx(REPORT_ACCURACY, abs=5e-4)


@pytest.mark.parametrize("quantity", ["loss", "accuracy"])
@pytest.mark.parametrize(("epochs", "axes"), [(100, "shared"), (12, "independent")])
def test_a_short_run_gives_the_report_its_own_axis(quantity, epochs, axes):
    chart = learning_curves(metrics(), quantity, epochs, report=True).to_dict()
    assert chart.get("resolve", {"scale": {"x": "shared"}})["scale"]["x"] == axes
    rows = [row for rows in chart["datasets"].values() for row in rows]
    assert sum(row.get("text") == "reference report, test set" for row in rows) == 40


@pytest.mark.parametrize(("low", "high"), [(0.101, 0.108), (0.98705, 0.9873), (0.1, 0.9)])
def test_ticks_of_a_narrow_axis_differ(low, high):
    drawn = to_file(learning_curves(metrics(low, high), "accuracy", 12), "svg").decode()
    ticks = re.findall(r">([\d.]+)%<", drawn)
    assert len(ticks) > 2 and len(set(ticks)) == len(ticks)


def test_the_ticks_of_a_single_value_are_short():
    one = metrics(0.1172839, 0.1172839)
    for chart in (
        learning_curves(one, "accuracy", 12),
        learning_curves(one, "loss", 12),
        step_curve(pd.DataFrame({"epoch": [0.1], "loss": [2.3025851]}), "loss"),
    ):
        ticks = re.findall(r">([\d.]+%?)<", to_file(chart, "svg").decode())
        assert len(ticks) > 2 and max(map(len, ticks)) <= 5, ticks


def test_the_loss_by_step_is_smoothed():
    noisy = pd.DataFrame({"epoch": [n / 200 for n in range(1, 201)], "loss": [n % 2 + 1.0 for n in range(200)]})
    (rows,) = step_curve(noisy, "loss").to_dict()["datasets"].values()
    assert len(rows) == 200 and rows[0]["value"] == 1
    assert all(abs(row["value"] - 1.5) < 0.1 for row in rows[50:])  # alternates between 1 and 2
