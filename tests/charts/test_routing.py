"""Numbers on the charts of routing."""

import pandas as pd

from expertnet.charts.base import to_file
from expertnet.charts.routing import information_bars


def test_small_amounts_have_no_exponent():
    blocks = pd.DataFrame({"block": [1, 2], "information": [3.2e-5, 0.4567], "chance": 0.0, "chance_high": 1e-5})
    drawn = to_file(information_bars(blocks), "svg").decode()
    assert ">under 0.001<" in drawn and ">0.457<" in drawn
