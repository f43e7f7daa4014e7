"""Export runs as zip files."""

import io

import streamlit as st

from expertnet.errors import RunError
from expertnet.store.index import rows_of
from expertnet.store.run import Run
from expertnet.transfer.export_run import export_run, export_runs, export_size
from expertnet.transfer.format import MAX_RUNS, MAX_UNPACKED
from expertnet.utils.text import escape


def export_button(*runs: Run, key: str = "") -> None:
    """Draw a download of one run's zip, or of a zip of zips. It is made when the user clicks."""
    why_not = _why_not(runs)
    ids = [run.id for run in runs]
    st.download_button(
        "Export" if len(runs) == 1 else f"Export {len(runs):,}",
        lambda: _packed(runs),
        f"run-{ids[0]}.zip" if len(runs) == 1 else "runs.zip",
        "application/zip",
        key=f"export {key} {' '.join(ids[: MAX_RUNS + 1])}",
        help=escape(why_not) or "Downloads weights, settings, metrics and notes as a zip file to import elsewhere.",
        on_click="ignore",  # nothing on the page changes
        icon=":material/download:",
        disabled=bool(why_not),
    )


def _why_not(runs: tuple[Run, ...]) -> str:
    """Return why the runs cannot be exported together, or "" if they can."""
    if len(runs) > MAX_RUNS:
        return f"At most {MAX_RUNS} runs can be exported at once. Select fewer."
    try:
        if sum(export_size(run) for run in runs) > MAX_UNPACKED:
            return f"These runs have more than {MAX_UNPACKED >> 30} GiB together. Export them one at a time."
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
