"""What a run will be, before it starts.

In this module: summary.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import Any

import pandas as pd
import streamlit as st

from expertnet.charts.architecture import architecture
from expertnet.data.custom import known_class_count
from expertnet.network.cost import Estimate, Stage, estimate
from expertnet.settings.schema import Settings


def summary(settings: Settings) -> Estimate:
    """Parameters, multiply-adds and memory, and a sketch of the network that follows the settings."""
    classes = known_class_count(settings.data)
    result = estimate(settings, classes or 10)
    left, middle, right = st.columns(3)
    left.metric("Parameters", _short(result.parameters), help="Numbers that are learned.")
    middle.metric(
        "Multiply-adds",
        _short(result.multiply_adds),
        help="Of one image, forward; training costs about three times as much.",
    )
    right.metric("Memory", f"{result.memory_bytes / 2**30:.1f} GiB", help="Expected while training, the dataset apart.")
    if classes is None:
        st.caption("Reckoned with ten classes, until the images have been read.")
    st.vega_lite_chart(spec=_sketch(result.stages), width="stretch", key="architecture")
    return result


@lru_cache(maxsize=64)
def _sketch(stages: tuple[Stage, ...]) -> dict[str, Any]:
    """The chart's specification, which takes longer to make than all else on the page."""
    return architecture(pd.DataFrame([asdict(stage) for stage in stages])).to_dict()


def _short(number: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
