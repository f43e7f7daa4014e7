"""The network that the settings make and what it costs, before training starts."""

from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache

import pandas as pd
import streamlit as st

from expertnet.charts.architecture import architecture
from expertnet.charts.base import Spec, specification
from expertnet.data.custom import known_class_count, known_training_images
from expertnet.errors import SettingsError
from expertnet.network.cost import Estimate, Stage, estimate
from expertnet.settings.schema import Settings
from expertnet.sweeps.space import settings_with
from expertnet.training.start import CLASSES_IF_UNKNOWN
from expertnet.ui.chart import show_chart

SIZES = (32, 64, 96, 128)  # pixels of the images whose cost is compared


def summary(settings: Settings) -> None:
    """Draw parameters, multiply-adds, memory and a sketch of the network."""
    classes, images = known_class_count(settings.data), known_training_images(settings.data)
    cost = estimate(settings, classes or CLASSES_IF_UNKNOWN, images)
    figures = st.container(horizontal=True, gap="large")
    for label, value, help in (
        ("Parameters", _short(cost.parameters), "Numbers that training adjusts."),
        ("Multiply-adds", _short(cost.multiply_adds), "For one image. Training needs about three times as many."),
        ("Memory", _memory(cost), "Expected during training, without the dataset."),
    ):
        figures.metric(label, value, help=help, width="content")
    if classes is None:
        st.caption(f"Assumes {CLASSES_IF_UNKNOWN} classes until the images are loaded.")
    show_chart(_sketch(cost.stages), "architecture")


def image_sizes(settings: Settings) -> None:
    """Draw what the chosen image size and SIZES cost, but for those that the other settings rule out."""
    classes, images = known_class_count(settings.data) or CLASSES_IF_UNKNOWN, known_training_images(settings.data)
    rows = []
    chosen = estimate(settings, classes).multiply_adds
    for size in sorted({*SIZES, settings.data.image_size}):
        with suppress(SettingsError):
            cost = estimate(settings_with(settings, {"data.image_size": size}), classes, images)
            share = cost.multiply_adds / chosen
            rows.append((f"{size} pixels", _short(cost.multiply_adds), f"{share:.2g}x", _memory(cost)))
    table = pd.DataFrame(rows, columns=["Image size", "Multiply-adds", "Relative cost", "Memory"])
    st.dataframe(table, hide_index=True, width="content", alt="Image sizes and their cost")


def _memory(cost: Estimate) -> str:
    return f"{cost.memory_bytes / 2**30:.1f} GiB"


@lru_cache(maxsize=64)
def _sketch(stages: tuple[Stage, ...]) -> Spec:
    """Return the chart's specification, which takes longer to make than the rest of the page."""
    return specification(architecture(pd.DataFrame([asdict(stage) for stage in stages])))


def _short(number: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
