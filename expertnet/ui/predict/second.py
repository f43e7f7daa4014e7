"""A second run, whose answers are shown beside those of the first."""

from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.store.index import TRAINED, open_index
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.ui.choices import went_back
from expertnet.ui.predict.calibration import temperature_of
from expertnet.ui.predict.gallery import Classified, classified
from expertnet.ui.predict.novelty import novelty_of
from expertnet.ui.predict.results import classify, show_pair, show_unreadable
from expertnet.ui.run_picker import SECOND, descriptions, offered_runs
from expertnet.ui.shell import toast

KEY = "second run"  # in the session: the id of the second run, or None


def pick_second(row: DeltaGenerator, run: Run) -> Run | None:
    """Ask for a second run in a row of controls, stored in the URL. Return None if the user chooses none or there is no other."""
    asked = went_back() or KEY not in st.session_state
    kept = st.query_params.get(SECOND) if asked else st.session_state[KEY]
    rows = offered_runs(row, open_index(RunStore()), kept or "", "second", TRAINED)
    rows.pop(run.id, None)
    if not rows:
        return None
    if asked and kept and kept not in rows:
        toast("The second run in the URL is not here, or it is the first one.")
    st.session_state[KEY] = kept if kept in rows else None  # not by `index`, or the choice could not be cleared
    chosen = row.selectbox(
        "Compare with",
        list(rows),
        index=None,
        key=KEY,
        format_func=descriptions(rows.values()).__getitem__,
        placeholder="Compare with …",
        label_visibility="collapsed",
    )
    if chosen is None:
        st.query_params.pop(SECOND, None)
        return None
    st.query_params[SECOND] = chosen
    return rows[chosen].run


def show_both(run: Run, predictor: Predictor, shown: Classified, second: Run, below: DeltaGenerator) -> None:
    """Show the answer of a run for an image beside that of the second, which sees the image at its own size.

    The progress of what is learned about the second is shown in `below`.
    """
    checkpoint = second.checkpoints.present()[0]
    other = load_predictor(second, checkpoint, threads=1)
    given = shown.given
    if given.label not in other.classes:  # then no answer of this network can be right
        given = replace(given, label=None)
    answers = classify(second, checkpoint, other, [given], "answers of the second run")
    with below:
        novelty = novelty_of(second, checkpoint, other)
    read, unreadable = classified([given], answers, novelty, temperature_of(second, checkpoint))
    show_unreadable(unreadable)
    if read:
        show_pair([(run, predictor, shown), (second, other, read[0])])
