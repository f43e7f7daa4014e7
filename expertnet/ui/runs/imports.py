"""Import runs that were exported as zip files."""

import streamlit as st

from expertnet.store.run_store import RunStore
from expertnet.transfer.import_run import import_all
from expertnet.ui.runs.state import close_drawer
from expertnet.ui.shell import action, link
from expertnet.ui.uploads import forget
from expertnet.utils.text import escape

IMPORTED, IMPORTS = "imported", "imports"  # in the session: the results to show, and a counter in the uploader's key


def import_panel() -> None:
    """Draw the upload of exported runs."""
    imports = st.session_state.setdefault(IMPORTS, 0)
    st.caption(
        "Choose zip files written by Export or `expertnet export --format zip`. The files are checked before anything is imported."
    )
    files = st.file_uploader("Exported runs", "zip", accept_multiple_files=True, key=f"run zips {imports}")
    action(st.container(), "Import", "upload", "import", lambda: _import(files), disabled=not files)


def import_results() -> None:
    """Draw the results of the last import until they are dismissed or there is another."""
    results = st.session_state.setdefault(IMPORTED, [])
    for result in results:
        if isinstance(result, str):
            st.error(escape(result), icon=":material/error:")
            continue
        row = st.container(horizontal=True, vertical_alignment="center")
        if result.new:
            row.success(escape(result.sentence), icon=":material/check:")
        else:
            row.info(escape(result.sentence), icon=":material/info:")
        with row:
            link("train", "See training", result.run.id)
    if results:
        st.button("Dismiss", icon=":material/close:", type="tertiary", on_click=results.clear)


def _import(files: list) -> None:
    """Import the files one by one, whether or not others fail. Then empty the uploader and show the results on the page."""
    st.session_state[IMPORTED] = []
    for file in files:
        st.session_state[IMPORTED] += import_all(RunStore(), file, file.name)
    st.session_state[IMPORTS] += 1
    forget(*files)
    close_drawer()
