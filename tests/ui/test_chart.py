"""The frame of a chart is at least as high as the chart."""

import re

import pandas as pd
import pytest

from expertnet.charts.base import specification, to_file
from expertnet.charts.routing import scatter
from expertnet.charts.training import learning_curves
from expertnet.ui.chart import frame_height


def curves():
    metrics = pd.DataFrame({"epoch": [1, 2], "train_loss": [2.0, 1.0], "val_loss": [2.0, 1.0]})
    return learning_curves(metrics, "loss", 2)


def dots(classes):
    names = [f"class {number}" for number in range(classes)]
    place = range(classes)
    return scatter(
        pd.DataFrame({"image": place, "class": names, "taken for": names, "x": place, "y": place}), [0.5, 0.3]
    )


@pytest.mark.parametrize("chart", [curves(), dots(4), dots(10), dots(40)])
def test_a_chart_fits_its_frame(chart):
    drawn = re.search(r'<svg[^>]* height="([\d.]+)"', to_file(chart, "svg").decode())
    assert float(drawn[1]) <= frame_height(specification(chart))
