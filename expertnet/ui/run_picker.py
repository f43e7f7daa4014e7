"""Choose a run with a trained network, and one of its checkpoints. The run is stored in the URL."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.errors import RunError
from expertnet.inference.routing_cache import has_own_test_set
from expertnet.routing.through_training import variety
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.checks import check_network
from expertnet.store.index import LONGEST, OWN, TRAINED, RunIndex, open_index, row_labels
from expertnet.store.rows import RunRow
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.controls import TAG
from expertnet.ui.shell import keep_choice, missing, nothing_yet, shown_error, toast
from expertnet.utils.text import cut, escape, percent

NEWEST = 50  # finished runs of which the default one is chosen by its routing
LISTED = 100  # runs in a list; a search finds others
SECOND = "with"  # in the URL: the id of the second run
CHOSEN = "chosen run"  # in the session: the id of the run that the user chose last, on any page, in a list or by a link
DEFAULT = "default run"  # in the session: the id of the run that was shown last because nothing was chosen


def pick_run(row: DeltaGenerator, images: bool = False) -> tuple[Run, Checkpoint] | None:
    """Ask for a run and a checkpoint in a row of controls, and return both, or None after saying what to do.

    The run comes from ?run=ID, else from what the user chose on another page, else from `default_run`. If the run in the URL
    cannot be used, say why and choose no other. `images` is passed to `default_run`.
    """
    store, asked = RunStore(), st.query_params.get("run", "")
    if asked and asked != st.session_state.get(DEFAULT):
        st.session_state[CHOSEN] = asked
    index, before = open_index(store), st.session_state.get(CHOSEN, "")
    if not asked and index.count(TRAINED, id=[before]):
        asked = before
    if index.count(TRAINED):
        kept = asked or default_run(_candidates(index), images)
        rows = offered_runs(row, index, kept, "run", TRAINED)
        ids, initial = list(rows), kept if kept in rows else None
        chosen = row.selectbox(
            "Run",
            ids,
            index=ids.index(initial) if initial else None,
            format_func=descriptions(rows.values()).__getitem__,
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
                    raise RunError(missing(asked, store)) from None
                check_network(run)
        return None
    if chosen != initial:
        st.session_state[CHOSEN] = chosen
    elif not asked:
        st.session_state[DEFAULT] = chosen
    if chosen != st.query_params.get("run"):
        st.query_params["run"] = chosen
    run = rows[chosen].run
    with row:
        checkpoint = _pick_checkpoint(run)
        if run.shipped:
            with st.popover("About", icon=":material/info:"):
                st.markdown(run.card())
    if checkpoint == "last":
        _say_accuracy_of_last(run)
    if "best" not in run.checkpoints.present():
        st.warning(escape(str(run.checkpoints.unusable("best"))), icon=":material/healing:")
    return run, checkpoint


def offered_runs(
    place: DeltaGenerator, index: RunIndex, kept: str, key: str, *conditions: str, **which: Any
) -> dict[str, RunRow]:
    """Return the runs to choose from, by id, as RunIndex.rows() does: the newest LISTED, and `kept` if it is one.

    If there are more, draw a search, whose matches replace the newest.
    """
    text, count = "", index.count(*conditions, **which)
    if count > LISTED:
        text = place.text_input(
            "Search runs",
            key=f"search {key}",
            type="search",
            live="300ms",
            placeholder=f"Search {count:,} runs",
            label_visibility="collapsed",
            width=200,
        )
    if text:
        place.caption(f"{index.count(*conditions, text=text, **which):,} found", width="content")
    rows = index.rows(*conditions, text=text, limit=LISTED, **which)
    return {row.id: row for row in (*rows, *index.rows(*conditions, **which | {"id": [kept]}))}


def offered_others(run: Run, column: str, *conditions: str) -> dict[str, RunRow]:
    """Return the other trained runs to choose from that have the same value in a column of the index, unless that is ""."""
    index, asked = open_index(RunStore()), st.query_params.get(SECOND, "")
    others = offered_runs(st.container(), index, asked, "second", TRAINED, *conditions, **_alike(index, run, column))
    return {run_id: row for run_id, row in others.items() if run_id != run.id}


def asked_second(run: Run, column: str, *conditions: str) -> Run | None:
    """Return the second run in the URL if `offered_others` would offer it, else None."""
    index, asked = open_index(RunStore()), st.query_params.get(SECOND, "")
    rows = index.rows(TRAINED, *conditions, id=[asked], **_alike(index, run, column)) if asked != run.id else []
    return rows[0].run if rows else None


def _alike(index: RunIndex, run: Run, column: str) -> dict[str, Any]:
    return {column: [value for row in index.rows(id=[run.id]) if (value := getattr(row, column))]}


def _candidates(index: RunIndex) -> dict[str, RunRow]:
    """Return the runs of which default_run() chooses one."""
    newest = index.rows(TRAINED, limit=NEWEST)
    finished = index.rows(TRAINED, state=["finished"], without_tag=TAG, limit=NEWEST)
    included = index.rows(TRAINED, f"NOT {OWN}")
    rows = {row.id: row for row in (*newest, *finished, *included)}
    return {run_id: rows[run_id] for run_id in sorted(rows, reverse=True)}


def pick_second(others: Mapping[str, RunRow], mismatch: str, first: Mapping[str, RunRow] | None = None) -> Run:
    """Ask for a second run, stored in the URL, at first for one of `first` if there are any.

    `mismatch` says what a run that is not offered may have, such as "other classes".
    """
    ids, asked = list(others), st.query_params.get(SECOND)
    if asked and asked not in others:
        toast(f"The second run in the URL is not here, or it has {mismatch}.")
    index = ids.index(asked if asked and asked in others else default_run(first or others))
    chosen = st.selectbox("Compare with", ids, index=index, format_func=descriptions(others.values()).__getitem__)
    st.query_params[SECOND] = chosen
    return others[chosen].run


def default_run(rows: Mapping[str, RunRow], images: bool = False) -> str:
    """Return the id of the newest finished run of the user, else of a run included with the studio, else of the newest run.

    Of the included runs, those whose images are on this computer come first, and of these the oldest. With `images`, the
    finished run whose routing differs most between images comes before all others, if its images are here. Controls are chosen
    only if there is nothing else.
    """
    candidates = [row for row in rows.values() if TAG not in row.tags] or list(rows.values())
    finished = [row for row in candidates if row.state == "finished"]
    if images:
        latest = [row.run for row in finished[:NEWEST]] + [row.run for row in finished[NEWEST:] if row.shipped]
        telling = sorted(latest, key=lambda run: (_variety(run), not run.shipped), reverse=True)
        found = next(filter(has_own_test_set, telling), None)
        if found is not None:
            return found.id
    own = [row.id for row in finished if not row.shipped]
    shipped = [row for row in candidates if row.shipped]
    shipped.sort(key=lambda row: (not has_own_test_set(row.run), row.id))
    return [*own, *(row.id for row in [*shipped, *candidates])][0]


def _variety(run: Run) -> float:
    try:
        return variety(run.path / "metrics.jsonl")
    except OSError:
        return 0.0


def descriptions(found: Iterable[RunRow]) -> dict[str, str]:
    """Return a text for each run, by id: its title, accuracy, and state unless it is finished. It should fit on a phone.

    Equal texts get part of the id, because Streamlit tells options apart by their text.
    """
    rows = list(found)
    results = {row.id: _result(row) for row in rows}
    texts = {row.id: f"{cut(row.title, LONGEST)} · {results[row.id]}" for row in rows}
    labels, alike = row_labels(rows), Counter(texts.values())
    return {
        run_id: text if alike[text] == 1 else f"{labels[run_id]} · {results[run_id]}" for run_id, text in texts.items()
    }


def _result(row: RunRow) -> str:
    accuracy = row.best if row.test is None else row.test
    measured = " validation" if row.test is None and not row.watches_test else ""  # the test set needs no word
    result = "no result yet" if accuracy is None else f"{percent(accuracy)}{measured}"
    return result if row.state == "finished" else f"{result} · {row.state}"


def model_card(run: Run) -> None:
    """Show the model card of a run included with the studio. Other runs have none."""
    if run.shipped:
        with st.expander("About this network, included with ExpertNet Studio", icon=":material/info:"):
            st.markdown(run.card())


def _say_accuracy_of_last(run: Run) -> None:
    """Say how good the last epoch is if it is not the best one, whose accuracy is in the list of runs."""
    epoch, best = (run.checkpoints.epoch(kind) for kind in ("last", "best"))
    accuracy = next((row.get("val_accuracy") for row in run.metrics() if row["epoch"] == epoch), None)
    if epoch != best and accuracy is not None:
        st.caption(
            f"Epoch {epoch}, the last, recognizes {percent(accuracy)} of the {run.watched_images}. The accuracy in the list of runs is "
            "that of the best epoch."
        )


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
