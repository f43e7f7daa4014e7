"""The network that the settings make and what it costs, before training starts."""

from dataclasses import asdict
from functools import lru_cache
from typing import Any

import pandas as pd
import streamlit as st

from expertnet.charts.architecture import architecture
from expertnet.charts.base import specification
from expertnet.data.custom import known_class_count
from expertnet.network.cost import Stage, estimate
from expertnet.settings.schema import Settings
from expertnet.training.start import CLASSES_IF_UNKNOWN
from expertnet.ui.chart import show_chart


def summary(settings: Settings) -> None:
    """Draw parameters, multiply-adds, memory and a sketch of the network."""
    classes = known_class_count(settings.data)
    cost = estimate(settings, classes or CLASSES_IF_UNKNOWN)
    figures = st.container(horizontal=True, gap="large")
    for label, value, help in (
        ("Parameters", _short(cost.parameters), "Numbers that training adjusts."),
        ("Multiply-adds", _short(cost.multiply_adds), "For one image. Training needs about three times as many."),
        ("Memory", f"{cost.memory_bytes / 2**30:.1f} GiB", "Expected during training, without the dataset."),
    ):
        figures.metric(label, value, help=help, width="content")
    if classes is None:
        st.caption(f"Assumes {CLASSES_IF_UNKNOWN} classes until the images are loaded.")
    show_chart(_sketch(cost.stages), "architecture")


@lru_cache(maxsize=64)
def _sketch(stages: tuple[Stage, ...]) -> dict[str, Any]:
    """Return the chart's specification, which takes longer to make than the rest of the page."""
    return specification(architecture(pd.DataFrame([asdict(stage) for stage in stages])))


def _short(number: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
