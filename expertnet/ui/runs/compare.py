"""Compared runs: their curves, the settings in which they differ, and settings against accuracy."""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.charts.base import specification
from expertnet.charts.run_settings import FEWEST_RUNS, describe_correlations, differing, parallel
from expertnet.charts.runs import BEST, LEGEND_ROWS, NAMED, X_AXES, overlay
from expertnet.settings.fields import display_value, setting_fields
from expertnet.store.compared import curves_of, settings_of
from expertnet.store.index import LONGEST, row_labels
from expertnet.store.rows import RunRow
from expertnet.ui.chart import show_chart
from expertnet.ui.runs.actions import group_actions
from expertnet.ui.runs.table import height
from expertnet.utils.text import counted, escape, percent

SIDE_BY_SIDE = 6  # runs that the table of settings shows as columns; with more, they are its rows
SETTING_WIDTH = 240  # pixels: fits the longest label of a setting
FEWEST_LINES = 5  # runs from which a line per run shows a pattern
AXES = 8  # settings that the chart shows at first; more are too close in a narrow window


def compare_runs(rows: list[RunRow], beside: DeltaGenerator) -> None:
    """Draw the runs' curves and what differs between them beside the table, and settings against accuracy below."""
    with beside:
        bar = st.container(horizontal=True, vertical_alignment="center", gap="xsmall")
        group_actions(bar, rows)
        _curves(bar, rows)
        settings = settings_of(rows)
        if len(settings) < 2:
            return
        settings = differing(settings).rename(columns={field.key: field.label for field in setting_fields()})
        st.subheader("Settings that differ")
        if settings.empty:
            st.write("These runs have the same settings.")
            return
        _difference_table(rows, settings)
    _parallel(rows, settings)


def _curves(bar: DeltaGenerator, rows: list[RunRow]) -> None:
    """Draw the curves, with their options in the bar."""
    longest = LONGEST if len(rows) <= LEGEND_ROWS else 14  # fits the columns of the legend
    curves = curves_of(rows, longest)
    if curves.empty:
        return
    options = bar.popover("Display", icon=":material/tune:")
    x = options.segmented_control(
        "Horizontal axis",
        list(X_AXES),
        default="epoch",
        format_func=lambda name: X_AXES[name].capitalize(),
        key="curves over",
        required=True,
    )
    smoothing = options.slider(
        "Smoothing",
        0.0,
        0.99,
        0.0,
        0.01,
        key="curves smoothing",
        help="Decay of the moving average. The measured values stay faintly visible.",
    )
    log = options.toggle("Logarithmic loss", key="curves log")
    if curves["run"].nunique() > 1 and len(rows) <= NAMED:
        options.caption("Click a name below a chart to highlight its curve. Click it again to show all.")
    on_test = [row for row in rows if row.watches_test]
    measured = "validation" if not on_test else "test set" if len(on_test) == len(rows) else "validation or test set"
    known, runs = curves[curves[x].notna()], _accuracies(rows, longest)
    with st.grid(2, min_column_width=320):
        for quantity, title in (("accuracy", "Accuracy"), ("loss", "Loss in nats")):
            values, share = known.assign(value=known[f"val_{quantity}"]), quantity == "accuracy"
            chart = overlay(values, runs, x, f"{title}, {measured}", smoothing, log and not share, percent=share)
            show_chart(specification(chart), quantity)
    _curve_captions(rows, on_test, drawn=curves["run"].nunique(), known=known["run"].nunique())


def _curve_captions(rows: list[RunRow], on_test: list[RunRow], drawn: int, known: int) -> None:
    if len(rows) > NAMED:
        st.caption(f"{len(rows):,} runs are too many for separate colors. Hover over a curve to see its run.")
    if known < drawn:
        st.caption(f"{drawn - known} of {drawn} curves are missing, because their runs did not record this axis.")
    if on_test:
        runs = counted(len(on_test), "run has", "runs have")
        st.caption(f"{runs} no validation images. The test set replaces them.")
    if len({row.dataset for row in rows}) > 1:
        st.caption("These runs use different datasets, so their accuracies are not comparable.")


def _difference_table(rows: list[RunRow], settings: pd.DataFrame) -> None:
    labels = row_labels(rows)
    table = settings.map(display_value)
    best = {labels[row.id]: percent(row.best) for row in rows}
    numbers = {BEST, *(field.label for field in setting_fields() if field.kind in ("int", "float"))}
    text = st.column_config.TextColumn
    columns = {name: text(alignment="right") for name in numbers & {*table.columns}}
    if len(table) > SIDE_BY_SIDE:
        table.insert(0, BEST, pd.Series(best))
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
    runs = _accuracies(rows)
    accuracy = runs[settings.index].dropna()
    if len(accuracy) < FEWEST_LINES:
        return
    settings = differing(settings.loc[accuracy.index])
    names = sorted(map(str, settings), key=lambda name: name == "Seed")  # last, because a seed is not a choice
    if not names:
        return
    st.subheader("Settings and accuracy")
    shown = names[:AXES]
    if len(names) > 2:
        shown = st.multiselect("Settings shown", names, default=shown, key="axes " + " ".join(names))
    if shown:
        chart = parallel(settings[shown], runs, display_value)
        show_chart(specification(chart), "parallel")
    _describe(rows, settings.loc[accuracy.index], accuracy)


def _describe(rows: list[RunRow], settings: pd.DataFrame, accuracy: pd.Series) -> None:
    """Say which settings go with better accuracy, among finished runs of one dataset."""
    if len({row.dataset for row in rows if row.settings}) > 1:
        st.caption("Compare runs of a single dataset to see which settings go with better accuracy.")
        return
    labels = row_labels(rows)
    finished = [labels[row.id] for row in rows if row.state == "finished" and labels[row.id] in accuracy.index]
    sentence = describe_correlations(differing(settings.loc[finished]), accuracy.loc[finished], display_value)
    if sentence:
        st.write(escape(sentence))
    else:
        st.caption(f"Compare at least {FEWEST_RUNS} finished runs to see which settings go with better accuracy.")


def _accuracies(rows: list[RunRow], longest: int = LONGEST) -> pd.Series:
    """Return the best accuracy of each run by its label. All charts choose colors from this."""
    labels = row_labels(rows, longest)
    return pd.Series({labels[row.id]: row.best for row in rows}, dtype=float)
