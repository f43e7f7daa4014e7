"""Several runs side by side: their curves, the settings in which they differ, and settings against accuracy.

In this module: compare_runs.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from expertnet.charts.run_settings import FEWEST_RUNS, describe_correlations, differing, parallel
from expertnet.charts.runs import NAMED, X_AXES, overlay
from expertnet.settings.fields import display_value, setting_fields
from expertnet.store.index import LONGEST, RunRow, curves_of, row_labels, settings_of
from expertnet.ui.runs.table import height
from expertnet.utils.text import escape, percent

SIDE_BY_SIDE = 6  # runs that stand in columns, a setting a line; of more, each is a line
SETTING_WIDTH = 240  # pixels: the longest label of a setting
AXES = 8  # settings that a chart shows at first: more stand too close in a narrow window
AXIS_LABELS = {"epoch": "Epochs", "images": "Images seen", "elapsed": "Seconds"}


def compare_runs(rows: list[RunRow]) -> None:
    """Overlaid curves of one run or more, and what differs between them."""
    _curves(rows)
    settings = settings_of(rows)
    if len(settings) < 2:
        return
    settings = differing(settings)
    st.subheader("Settings that differ")
    if settings.empty:
        st.write("None: these runs have the same settings.")
        return
    _difference_table(rows, settings)
    _parallel(rows, settings)


def _curves(rows: list[RunRow]) -> None:
    longest = LONGEST if len(rows) <= 4 else 20 if len(rows) <= 10 else 11  # as the columns of the legend have room
    curves = curves_of(rows, longest)
    if curves.empty:
        return
    options = st.container(horizontal=True, vertical_alignment="bottom")
    x = options.segmented_control(
        "Over", list(X_AXES), default="epoch", format_func=AXIS_LABELS.__getitem__, key="curves over", required=True
    )
    share = options.slider(
        "Smoothing",
        0.0,
        0.99,
        0.0,
        0.01,
        key="curves smoothing",
        width=150,  # so that the row ends before the tools that a chart shows when it is pointed at
        help="The share that a running mean keeps of itself at each epoch; what was measured lies faintly behind.",
    )
    log = options.toggle("Logarithmic loss", key="curves log")
    watching = [row for row in rows if row.watches_test]
    measured = "validation" if not watching else "test set" if len(watching) == len(rows) else "validation or test set"
    known = curves[curves[x or "epoch"].notna()]
    with st.grid(2, min_column_width=420):
        for quantity, title in (("accuracy", f"Accuracy, {measured}"), ("loss", f"Loss in nats, {measured}")):
            tidy = known.assign(value=known[f"val_{quantity}"])
            share_of = quantity == "accuracy"
            chart = overlay(
                tidy, _accuracies(rows, longest), x or "epoch", title, share, log and not share_of, share_of
            )
            st.altair_chart(chart, width="stretch", key=quantity)
    labels, shown = row_labels(rows), curves["run"].nunique()
    if len(rows) > NAMED:
        st.caption(f"{len(rows):,} runs are too many for colours of their own; point at one to read its name.")
    elif shown > 1:
        st.caption("Click a name below a chart to bring its curve out, and again to see all alike.")
    if known["run"].nunique() < shown:
        st.caption(
            f"{shown - known['run'].nunique()} of {shown} curves are left out: their runs do not say how far each epoch went."
        )
    if watching and len(rows) <= SIDE_BY_SIDE:
        for row in watching:
            st.caption(f"{escape(labels[row.id])}: measured on the test set, since it has no validation images.")
    elif watching:
        st.caption(f"{len(watching)} of these runs have no validation images and are measured on the test set.")
    if len({row.dataset for row in rows}) > 1:
        st.caption("These runs are of different datasets, so their accuracies do not compare.")


def _difference_table(rows: list[RunRow], settings: pd.DataFrame) -> None:
    labels = row_labels(rows)
    table = settings.map(display_value).rename(columns=_names())
    best = {labels[row.id]: percent(row.best) for row in rows}
    numbers = {"Best accuracy", *(field.label for field in setting_fields() if field.kind in ("int", "float"))}
    text = st.column_config.TextColumn
    columns = {name: text(alignment="right") for name in numbers & {*table.columns}}
    if len(table) > SIDE_BY_SIDE:
        table.insert(0, "Best accuracy", pd.Series(best))
        table = table.rename_axis("Run")
    else:
        table, columns = table.T.rename_axis("Setting"), {"_index": text(width=SETTING_WIDTH)}
    st.dataframe(
        table,
        width="stretch",
        height=height(len(table)),
        alt="Settings that differ between the runs",
        column_config=columns,
    )


def _parallel(rows: list[RunRow], settings: pd.DataFrame) -> None:
    runs, names = _accuracies(rows), _names()
    accuracy = runs[settings.index].dropna()
    if len(accuracy) < 3:
        return
    settings = differing(settings.loc[accuracy.index])
    keys = sorted(
        map(str, settings.columns), key=lambda key: key == "seed"
    )  # last: it is no choice that makes a network better
    if not keys:
        return
    st.subheader("Settings against accuracy")
    shown = keys[:AXES]
    if len(keys) > 2:
        shown = st.multiselect(
            "Settings shown",
            keys,
            default=shown,
            format_func=lambda key: names.get(key, key),
            key="axes " + " ".join(keys),
        )
    if shown:
        st.altair_chart(
            parallel(settings[list(shown)], runs, names, display_value, "Best accuracy"),
            width="stretch",
            key="parallel",
        )
    _say_what_goes_with(rows, settings.loc[accuracy.index], accuracy)


def _say_what_goes_with(rows: list[RunRow], settings: pd.DataFrame, accuracy: pd.Series) -> None:
    """In words, where the accuracies compare and are those of whole trainings."""
    if len({row.dataset for row in rows if row.settings}) > 1:
        st.caption("With runs of one dataset, a sentence here says which settings go with better accuracy.")
        return
    labels = row_labels(rows)
    finished = [labels[row.id] for row in rows if row.state == "finished" and labels[row.id] in accuracy.index]
    sentence = describe_correlations(differing(settings.loc[finished]), accuracy.loc[finished], _names(), display_value)
    if sentence:
        st.write(escape(sentence))
    else:
        st.caption(
            f"With {FEWEST_RUNS} finished runs or more, a sentence here says which settings go with better accuracy."
        )


def _accuracies(rows: list[RunRow], longest: int = LONGEST) -> pd.Series:
    """The best accuracy of every run by its label, from which all charts take its colour."""
    labels = row_labels(rows, longest)
    return pd.Series({labels[row.id]: row.best for row in rows}, dtype=float)


def _names() -> dict[str, str]:
    return {field.key: field.label for field in setting_fields()}
