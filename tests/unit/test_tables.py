"""Tables as files: what comes from outside stays text."""

import csv
import io

import pandas as pd

from expertnet.tables import to_csv


def test_no_text_is_a_formula_for_a_spreadsheet():
    names = ["=1+1.png", "+1", "-1", "@a", "\ta", "\ra", "a\r=1.png", ""]
    header, *rows = csv.reader(io.StringIO(to_csv(pd.DataFrame({"file": names, "=p": -0.5})), newline=""))
    assert header == ["file", "'=p"]
    assert [name for name, _ in rows] == ["'=1+1.png", "'+1", "'-1", "'@a", "'\ta", "'\ra", "a\r=1.png", ""]
    assert {number for _, number in rows} == {"-0.5"}
