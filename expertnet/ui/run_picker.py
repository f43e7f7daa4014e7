"""Choosing a run that has something to show, and which of its weights; the run stays in the address.

In this module: pick_run, first_choice, describe, descriptions, model_card.
"""

from __future__ import annotations

from collections import Counter

import streamlit as st

from expertnet.data.datasets import is_missing
from expertnet.errors import RunError
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.weights_files import Checkpoint
from expertnet.ui.shell import NO_RUN, link, shown_error
from expertnet.utils.text import escape, percent

CHOSEN = "chosen run"  # in the session: its id, which other pages begin with


def describe(run: Run) -> str:
    """A run as a person knows it: its name, accuracy, when (UTC), and its state unless it finished."""
    status = run.status()
    tested = status.test_accuracy is not None or run.watches_test
    figure = status.test_accuracy if status.test_accuracy is not None else status.best_val_accuracy
    accuracy = f"{percent(figure)} {'test' if tested else 'validation'}" if figure is not None else "no result yet"
    state = "" if status.state == "finished" else f" · {status.state}"
    return f"{run.title} · {accuracy}{state} · {run.created.replace('T', ' ')[:16]}"


def descriptions(runs: dict[str, Run]) -> dict[str, str]:
    """Each run's description by its id, no two alike: a choice is told from the others by its text."""
    texts = {run_id: describe(run) for run_id, run in runs.items()}
    count = Counter(texts.values())
    return {run_id: text if count[text] == 1 else f"{text} · {run_id[9:]}" for run_id, text in texts.items()}


def first_choice(runs: dict[str, Run], images: bool = False) -> int:
    """Which run to begin with: the newest of one's own that has finished, or else one that came along, or else the newest.

    With `images`, one that came along with its test images goes before one that did not.
    """
    ids = list(runs)
    own = [run_id for run_id in ids if not runs[run_id].shipped and runs[run_id].state == "finished"]
    shipped = [run_id for run_id in ids if runs[run_id].shipped]
    with_images = [run_id for run_id in shipped if images and not is_missing(runs[run_id].settings().data)]
    return ids.index([*own, *with_images, *shipped, *ids][0])


def pick_run(label: str = "Run", images: bool = False) -> tuple[Run, Checkpoint] | None:
    """The chosen run and checkpoint of those with a trained network, or None after saying what to do.

    ?run=ID in the address chooses, or else what was chosen on another page, and the address follows the choice; an ID that cannot
    be shown gets its reason, and no other in its place.
    With `images`, the page shows images of test sets (first_choice).
    """
    store, asked = RunStore(), st.query_params.get("run")
    runs = {run.id: run for run in store.list() if run.has_network()}
    if not asked and st.session_state.get(CHOSEN) in runs:
        asked = st.session_state[CHOSEN]
    chosen = None
    row = st.container(horizontal=True, vertical_alignment="bottom")
    if runs:
        ids = list(runs)
        index = ids.index(asked) if asked in runs else None if asked else first_choice(runs, images)
        chosen = row.selectbox(
            label, ids, index=index, format_func=descriptions(runs).__getitem__, placeholder="Choose a run"
        )
    else:
        st.info(
            "There is no trained network yet. Train one first: the digits take under a minute.",
            icon=":material/model_training:",
        )
        link("train", "Go to Train", icon="arrow_forward")
    if chosen is None:
        if asked:
            with shown_error():
                _found(store, asked).check_network()
        return None
    if index is None or chosen != ids[index]:  # by hand
        st.session_state[CHOSEN] = chosen
    if chosen != st.query_params.get("run"):
        st.query_params["run"] = chosen
    with row:
        checkpoint = _pick_checkpoint(runs[chosen])
    if "best" not in runs[chosen].checkpoints():
        st.warning(escape(str(runs[chosen].unusable_checkpoint("best"))), icon=":material/healing:")
    model_card(runs[chosen])
    return runs[chosen], checkpoint


def _found(store: RunStore, run_id: str) -> Run:
    """The run, or a sentence for a browser, which says nothing of folders and commands."""
    try:
        return store.get(run_id)
    except RunError:
        raise RunError(NO_RUN) from None


def _pick_checkpoint(run: Run) -> Checkpoint:
    kinds = run.checkpoints()
    if len(kinds) < 2:
        return kinds[0]

    def words(kind: Checkpoint) -> str:
        epoch = run.checkpoint_epoch(kind)
        return f"{kind}, damaged" if epoch is None else f"{kind}, epoch {epoch}"

    return st.selectbox("Weights", kinds, format_func=words, key=f"weights {run.id}", width=180)


def model_card(run: Run) -> None:
    """What a network that came with the project was made of and how good it is; nothing for other runs."""
    if run.shipped:
        with st.expander("About this network, which came with ExpertNet Studio", icon=":material/info:"):
            st.markdown(run.card())
