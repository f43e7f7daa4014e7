"""Runs to and from other machines, as zip files.

In this module: export_button (of one run or of several), import_panel.
"""

from __future__ import annotations

import io

import streamlit as st

from expertnet.errors import RunError
from expertnet.store.index import rows_of
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.transfer.export_run import export_run, export_runs, export_size
from expertnet.transfer.format import MAX_RUNS, MAX_UNPACKED
from expertnet.transfer.import_run import import_all
from expertnet.ui.auth import login
from expertnet.ui.shell import act, link
from expertnet.utils.text import escape


def export_button(*runs: Run) -> None:
    """A download of the runs' zip, which is made when it is asked for; several come as a zip of theirs. Of none there is no button."""
    if not runs:
        return
    why_not = _why_not(runs)
    ids = [run.id for run in runs]
    st.download_button(
        "Export" if len(runs) == 1 else f"Export {len(runs):,} runs",
        lambda: _packed(runs),
        f"run-{ids[0]}.zip" if len(runs) == 1 else "runs.zip",
        "application/zip",
        key=f"export {' '.join(ids[: MAX_RUNS + 1])}",
        help=escape(why_not) or "Its weights, settings, figures and notes as a zip, which can be imported elsewhere.",
        on_click="ignore",  # the page needs no other look
        icon=":material/download:",
        disabled=bool(why_not),
    )


def _why_not(runs: tuple[Run, ...]) -> str:
    """Why they cannot be exported together; empty where they can."""
    if len(runs) > MAX_RUNS:
        return f"At most {MAX_RUNS} runs are exported at once."
    try:
        if sum(export_size(run) for run in runs) > MAX_UNPACKED:
            return "These runs are more than 1 GiB together; export them one by one."
    except (RunError, OSError) as error:
        return str(error)
    return next((row.damage for row in rows_of(runs) if row.damage), "")


def _packed(runs: tuple[Run, ...]) -> bytes:
    file = io.BytesIO()
    if len(runs) == 1:
        export_run(runs[0], file)
    else:
        export_runs(runs, file)
    return file.getvalue()


def import_panel() -> None:
    """Folded: files to choose, a button, and what became of the last ones."""
    done = st.session_state.setdefault("imported", [])
    times = st.session_state.setdefault("imports", 0)  # files that were imported leave the widget with its key
    for imported in done:
        if isinstance(imported, str):
            st.error(escape(imported), icon=":material/error:")
            continue
        row = st.container(horizontal=True, vertical_alignment="center")
        if imported.new:
            row.success(escape(imported.sentence), icon=":material/check:")
        else:
            row.info(escape(imported.sentence), icon=":material/info:")
        with row:
            link("train", "Open", imported.run.id)
    done.clear()
    with st.expander("Import a run", icon=":material/upload:"):
        st.caption("A zip that Export or `expertnet export --format zip` wrote. Everything in it is checked first.")
        files = st.file_uploader("Exported runs", "zip", accept_multiple_files=True, key=f"run zips {times}")
        own = login.reserved(disabled=not files)
        if st.button("Import", key="import", icon=":material/upload:", **own):
            act(lambda: _import(files))


def _import(files: list) -> None:
    """Takes them one after the other; one that is refused does not keep the others out."""
    for file in files:
        st.session_state["imported"] += import_all(RunStore(), file, file.name)
    st.session_state["imports"] += 1
