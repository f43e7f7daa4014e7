"""All runs, their curves side by side, and the settings in which they differ."""

import pandas as pd
import streamlit as st

from expertnet import charts
from expertnet.config import flat, format_value
from expertnet.datasets import dataset_title
from expertnet.jobs import manager
from expertnet.runs import ACTIVE_STATES, Run, RunStore
from expertnet.ui import shell

shell.require()

MARKS = {
    "queued": "◷ queued",
    "running": "▶ training",
    "stopping": "… stopping",
    "finished": "✓ finished",
    "stopped": "■ stopped",
    "failed": "✗ failed",
    "interrupted": "! interrupted",
}


def row(run: Run) -> dict:
    status, info, metrics = run.status(), run.dataset_info(), run.metrics()
    return {
        "Name": run.name if run.name != run.id else "–",
        "State": MARKS.get(status["state"], status["state"]),
        "Data set": dataset_title(info.name) if info else "–",
        "Epochs": f"{status['epoch']} of {status['epochs']}",
        "Accuracy": [line.get("val_accuracy") or 0.0 for line in metrics],
        "Best": status["best_val_accuracy"],
        "Test": status["test_accuracy"],
        "When": pd.to_datetime(run.created, errors="coerce", utc=True),
    }


def differing(runs: list[Run]) -> pd.DataFrame:
    """A row a setting that is not the same in all, a column a run."""
    table = pd.DataFrame(
        {label(run): {key: format_value(value) for key, value in flat(run.settings()).items()} for run in runs}
    )
    return table[table.nunique(axis=1) > 1]


def label(run: Run) -> str:
    return f"{run.name if run.name != run.id else (run.preset or 'run')} · {run.id[-4:]}"


def one(run: Run) -> None:
    """What can be done with a single run."""
    if run.damage():
        st.error(shell.escape(run.damage() or ""), icon=":material/error:")
    buttons = st.container(horizontal=True)
    if run.damage() is None:
        with buttons:
            shell.link("train", "Open", run.id)
        if run.has_checkpoint():
            with buttons:
                shell.link("experts", "Routing", run.id)
            with buttons:
                shell.link("predict", "Classify", run.id)
        if run.can_resume() and buttons.button("Resume", icon=":material/play_arrow:"):
            with shell.shown_error():
                manager().resume(run)
                st.rerun()
    if run.state in ("queued", "running") and buttons.button("Stop", icon=":material/stop_circle:"):
        with shell.shown_error():
            manager().stop(run)
            st.rerun()
    if run.state not in ACTIVE_STATES:
        with buttons.popover("Delete", icon=":material/delete:"):
            st.write("This deletes the run with its checkpoints for good.")
            if st.button("Delete this run", type="primary"):
                with shell.shown_error():
                    run.delete()
                    st.rerun()


st.header("Runs")
runs = RunStore().list()
if not runs:
    st.info(
        "There are no runs yet. The first takes under a minute: train on the digits.", icon=":material/model_training:"
    )
    shell.link("train", "Go to Train", icon="arrow_forward")
    st.stop()
st.caption("Tick one run to act on it, several to compare them.")
event = st.dataframe(
    pd.DataFrame([row(run) for run in runs]),
    hide_index=True,
    width="stretch",
    on_select="rerun",
    selection_mode="multi-row",
    key="table",
    column_config={
        "Accuracy": st.column_config.LineChartColumn("Accuracy by epoch", y_min=0, y_max=1),
        "Best": st.column_config.NumberColumn(
            "Best validation", format="percent", help="The test set's, where a run has no validation pictures."
        ),
        "Test": st.column_config.NumberColumn("Test", format="percent"),
        "When": st.column_config.DatetimeColumn(format="distance"),
    },
)
chosen = [runs[index] for index in event["selection"]["rows"] if index < len(runs)]
if len(chosen) == 1:
    one(chosen[0])
sound = [run for run in chosen if run.damage() is None]
curves = pd.DataFrame(
    [
        {"run": label(run), "epoch": line["epoch"], "accuracy": line.get("val_accuracy"), "loss": line.get("val_loss")}
        for run in sound
        for line in run.metrics()
    ]
)
if not curves.empty:
    left, right = st.columns(2)
    what = "test set where marked" if any(run.settings().watches_test for run in sound) else "validation"
    left.altair_chart(
        charts.overlay(curves.rename(columns={"accuracy": "value"}), f"Accuracy ({what})"),
        width="stretch",
        key="accuracy",
    )
    right.altair_chart(
        charts.overlay(curves.rename(columns={"loss": "value"}), f"Loss, nats ({what})"), width="stretch", key="loss"
    )
    for run in sound:
        if run.settings().watches_test:
            st.caption(f"{shell.escape(label(run))}: measured on the test set, since it has no validation pictures.")
if len(sound) > 1:
    st.subheader("Settings that differ")
    table = differing(sound)
    if table.empty:
        st.write("None: these runs have the same settings.")
    else:
        st.dataframe(table, width="stretch")
