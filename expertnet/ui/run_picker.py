"""Choosing a run that has something to show; the choice stays in the address.

In this module: pick_run, describe, model_card.
"""

from __future__ import annotations

import streamlit as st

from expertnet.runs import Run, RunError, RunStore
from expertnet.ui.shell import escape, link, percent


def describe(run: Run) -> str:
    """A run as a person knows it: its name, data set, accuracy and when."""
    status = run.status()
    tested = status["test_accuracy"] is not None or run.watches_test
    figure = status["test_accuracy"] if status["test_accuracy"] is not None else status["best_val_accuracy"]
    accuracy = f"{percent(figure)} {'test' if tested else 'validation'}" if figure is not None else "no result yet"
    return f"{run.title} · {accuracy} · {status['state']} · {run.created.replace('T', ' ')[:16]} UTC"


def pick_run(label: str = "Run") -> Run | None:
    """The chosen run with a checkpoint, or None after saying what to do; ?run=ID in the address chooses, and follows the choice."""
    store = RunStore()
    asked = st.query_params.get("run")
    if asked:
        try:
            run = store.get(asked)
            if run.damage():
                st.error(escape(run.damage() or ""), icon=":material/error:")
            elif not run.has_checkpoint():
                st.info(
                    f"{escape(run.name)} has no checkpoint yet; it comes with the first epoch.",
                    icon=":material/hourglass:",
                )
        except RunError as error:
            st.error(escape(str(error)), icon=":material/error:")
    runs = {run.id: run for run in store.list() if run.has_checkpoint() and not run.damage() and run.dataset_info()}
    if not runs:
        st.info(
            "There is no trained network yet. Train one first: the digits take under a minute.",
            icon=":material/model_training:",
        )
        link("train", "Go to Train", icon="arrow_forward")
        return None
    ids = list(runs)
    index = ids.index(asked) if asked in runs else 0
    chosen = st.selectbox(label, ids, index=index, format_func=lambda run_id: describe(runs[run_id]))
    if chosen != asked:
        st.query_params["run"] = chosen
    model_card(runs[chosen])
    return runs[chosen]


def model_card(run: Run) -> None:
    """What a network that came with the project was made of and how good it is; nothing for other runs."""
    if run.shipped:
        with st.expander("About this network, which came with ExpertNet Studio", icon=":material/info:"):
            st.markdown(run.card())
