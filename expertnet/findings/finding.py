"""A finding of the routing lab: a sentence, its chart, its table and its method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any

import pandas as pd

from expertnet.charts.base import Spec, specification
from expertnet.utils.text import listed, plural

Chart = Any  # any Altair chart


@dataclass(frozen=True)
class Finding:
    """One result for pages, notebooks and reports. All texts are plain, without markup."""

    name: str  # of its files, without extension
    title: str  # what it is, in the singular, as its buttons name it: "routing heat map"
    sentence: str  # what the chart or table shows
    draw: Callable[[], Chart] | None  # makes the chart; None if there is only a table
    table: pd.DataFrame
    method: str  # how it was computed, with technical terms explained and the source
    shares: tuple[str, ...] = ()  # columns of the table that a page shows as percentages

    @cached_property
    def chart(self) -> Chart | None:
        """Return the chart, drawn on first use: the verdict needs only sentences, and drawing takes the longest."""
        return None if self.draw is None else self.draw()

    @cached_property
    def spec(self) -> Spec | None:
        """Return the chart as a page draws it (see `specification`)."""
        return None if self.chart is None else specification(self.chart)


cached = lru_cache(maxsize=16)  # as many as open_lab; the same files give the same Lab and Effects objects


def highest(table: pd.DataFrame, column: str) -> pd.Series:
    """Return the row with the largest value."""
    return table.iloc[int(table[column].argmax())]


def lowest(table: pd.DataFrame, column: str) -> pd.Series:
    """Return the row with the smallest value."""
    return table.iloc[int(table[column].argmin())]


def in_words(blocks: Sequence[int]) -> str:
    """Return "block 4", "blocks 1 and 2" or "blocks 1 to 3 and 6"."""
    runs = [[block for _, block in run] for _, run in groupby(enumerate(blocks), lambda pair: pair[1] - pair[0])]
    words = [word for run in runs for word in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run))]
    return f"{plural(len(blocks), 'block')} {listed(words)}"
