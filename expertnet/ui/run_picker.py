"""Choose a run with a trained network, and one of its checkpoints. The run is stored in the URL."""

from collections.abc import Iterable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.errors import RunError
from expertnet.inference.routing_cache import has_own_test_set
from expertnet.routing.through_training import variety
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.checks import check_network, has_network
from expertnet.store.index import row_labels, rows_of
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.controls import TAG
from expertnet.ui.shell import NO_RUN, keep_choice, nothing_yet, shown_error, time_text, toast
from expertnet.utils.text import escape, percent

CHOSEN = "chosen run"  # in the session: the id of the run that the user chose last, on any page


def pick_run(row: DeltaGenerator, images: bool = False) -> tuple[Run, Checkpoint] | None:
    """Ask for a run and a checkpoint in a row of controls, and return both, or None after saying what to do.

    The run comes from ?run=ID, else from what the user chose on another page, else from `default_run`. If the run in the URL
    cannot be used, say why and choose no other. `images` is passed to `default_run`.
    """
    store, asked = RunStore(), st.query_params.get("run")
    runs = {run.id: run for run in store.list() if has_network(run)}
    if not asked and st.session_state.get(CHOSEN) in runs:
        asked = st.session_state[CHOSEN]
    if runs:
        ids = list(runs)
        initial = asked if asked in runs else None if asked else default_run(runs, images)
        chosen = row.selectbox(
            "Run",
            ids,
            index=ids.index(initial) if initial else None,
            format_func=descriptions(runs.values()).__getitem__,
            placeholder="Choose a run",
            label_visibility="collapsed",
        )
    else:
        nothing_yet("There is no trained network yet.")
        initial = chosen = None
    if chosen is None:
        if asked:
            with shown_error():
                try:
                    run = store.get(asked)
                except RunError:  # whose text names folders and commands
                    raise RunError(NO_RUN) from None
                check_network(run)
        return None
    if chosen != initial:
        st.session_state[CHOSEN] = chosen
    if chosen != st.query_params.get("run"):
        st.query_params["run"] = chosen
    run = runs[chosen]
    with row:
        checkpoint = _pick_checkpoint(run)
        if run.shipped:
            with st.popover("About", icon=":material/info:"):
                st.markdown(run.card())
    if "best" not in run.checkpoints.present():
        st.warning(escape(str(run.checkpoints.unusable("best"))), icon=":material/healing:")
    return run, checkpoint


def pick_second(others: dict[str, Run], mismatch: str, first: dict[str, Run] | None = None) -> Run:
    """Ask for a second run, stored in the URL, at first for one of `first` if there are any.

    `mismatch` says what a run that is not offered may have, such as "other classes".
    """
    ids, asked = list(others), st.query_params.get("with")
    if asked and asked not in others:
        toast(f"The second run in the URL is not here, or it has {mismatch}.")
    index = ids.index(asked if asked in others else default_run(first or others))
    chosen = st.selectbox("Compare with", ids, index=index, format_func=descriptions(others.values()).__getitem__)
    st.query_params["with"] = chosen
    return others[chosen]


def default_run(runs: dict[str, Run], images: bool = False) -> str:
    """Return the id of the newest finished run of the user, else of a run included with the studio, else of the newest run.

    Of the included runs, those whose images are on this computer come first, and of these the oldest. With `images`, the
    finished run whose routing differs most between images comes before all others, if its images are here. Controls are chosen
    only if there is nothing else.
    """
    controls = {row.id for row in rows_of(runs.values()) if TAG in row.tags}
    runs = {run_id: run for run_id, run in runs.items() if run_id not in controls} or runs
    if images:
        finished = [run for run in runs.values() if run.state == "finished"]
        telling = sorted(finished, key=lambda run: (_variety(run), not run.shipped), reverse=True)
        found = next(filter(has_own_test_set, telling), None)
        if found is not None:
            return found.id
    own = [run_id for run_id, run in runs.items() if not run.shipped and run.state == "finished"]
    shipped = [run_id for run_id, run in runs.items() if run.shipped]
    return [*own, *sorted(shipped, key=lambda run_id: (not has_own_test_set(runs[run_id]), run_id)), *runs][0]


def _variety(run: Run) -> float:
    try:
        return variety(run.path / "metrics.jsonl")
    except OSError:
        return 0.0


def descriptions(runs: Iterable[Run]) -> dict[str, str]:
    """Return a text for each run, by id: its title, accuracy, state (unless finished) and date.

    No two texts are equal, because Streamlit tells options apart by their text.
    """
    rows, texts = rows_of(runs), {}
    labels = row_labels(rows)
    for row in rows:
        accuracy = row.best if row.test is None else row.test
        measured = "validation" if row.test is None and not row.watches_test else "test"
        result = "no result yet" if accuracy is None else f"{percent(accuracy)} {measured}"
        state = "" if row.state == "finished" else f" · {row.state}"
        date = time_text(row.run.created).removesuffix(" UTC")  # which a phone has no room for
        texts[row.id] = f"{labels[row.id]} · {result}{state} · {date}"
    return texts


def model_card(run: Run) -> None:
    """Show the model card of a run included with the studio. Other runs have none."""
    if run.shipped:
        with st.expander("About this network, included with ExpertNet Studio", icon=":material/info:"):
            st.markdown(run.card())


def _pick_checkpoint(run: Run) -> Checkpoint:
    checkpoints = run.checkpoints.present()
    if len(checkpoints) < 2:
        return checkpoints[0]

    def label(checkpoint: Checkpoint) -> str:
        epoch = run.checkpoints.epoch(checkpoint)
        return f"{checkpoint}, damaged" if epoch is None else f"{checkpoint}, epoch {epoch}"

    key = f"weights {run.id}"
    keep_choice(key, list(map(label, checkpoints)))
    return st.selectbox("Checkpoint", checkpoints, format_func=label, key=key, width=150, label_visibility="collapsed")
