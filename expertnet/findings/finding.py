"""A finding: a chart, its table, the sentence it shows, and how it was computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import pandas as pd

from expertnet.charts.base import specification

Chart = Any  # any of Altair's


@dataclass(frozen=True)
class Finding:
    name: str  # of its files
    sentence: str  # one sentence: what is seen
    chart: Chart | None
    table: pd.DataFrame
    method: str  # one sentence: how it was computed, and the source

    @cached_property
    def spec(self) -> dict[str, Any] | None:
        """The chart as a page draws it."""
        return None if self.chart is None else specification(self.chart)


cached = lru_cache(maxsize=16)  # as many as open_lab keeps; Lab and Effects are the same objects for the same files


def highest(table: pd.DataFrame, column: str) -> pd.Series:
    return table.iloc[int(table[column].argmax())]


def lowest(table: pd.DataFrame, column: str) -> pd.Series:
    return table.iloc[int(table[column].argmin())]
