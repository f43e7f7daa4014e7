"""Which runs the page compares, and what its drawer shows. Both are in the URL, and each change can be undone with Back."""

from collections.abc import Callable

import streamlit as st

from expertnet.store.index import RunIndex
from expertnet.ui import choices
from expertnet.ui.auth import login

COMPARED = "compared"  # the key of the multiselect: ids, in the order in which they were chosen
SELECTED = "selected runs"  # in the session: the same ids, which survive other pages
IN_URL, OPEN = "selected", "open"  # the query keys
MOST_IN_URL = 50  # ids; some servers refuse long URLs
IMPORT, TRASH = "import", "trash"  # what the drawer shows besides a run


def read_url(index: RunIndex) -> None:
    """Compare what the URL says when the page is opened, and after Back and Forward. Forget runs that are not in the index."""
    state, in_url = st.session_state, st.query_params.get(IN_URL, "")
    ids = state.get(COMPARED)
    had_room = in_url or len(ids or ()) <= MOST_IN_URL
    if (choices.went_back() and had_room) or (ids is None and in_url):
        ids = in_url.split(",")
    elif ids is None:
        ids = state.get(SELECTED, ())
    known = {row.id for row in index.rows(id=ids)}
    compare([run_id for run_id in ids if run_id in known])


def compare(ids: list[str]) -> None:
    """Compare these runs from now on."""
    if st.session_state.get(COMPARED) != ids:
        st.session_state[COMPARED] = ids


def write_url() -> tuple[str, ...]:
    """Keep the comparison in the session and in the URL. Return its ids."""
    st.session_state[SELECTED] = ids = tuple(st.session_state[COMPARED])
    text = ",".join(ids) if len(ids) <= MOST_IN_URL else ""
    if text != st.query_params.get(IN_URL, ""):  # setting it again would add a step to the browser's history
        choices.write(IN_URL, text)
    return ids


def opened() -> str:
    """Return what the drawer shows: the id of a run, IMPORT, TRASH, or "" if it is closed."""
    return choices.read(OPEN)


def open_drawer(what: str) -> None:
    choices.write(OPEN, what)


def close_drawer() -> None:
    choices.write(OPEN, "")


def drawer(title: str, content: Callable[[], None], width: int = 480) -> None:
    """Draw the drawer, which stays open until it is closed."""

    def guarded() -> None:
        login.guard()  # the page's guard does not run for clicks in the drawer
        content()

    st.dialog(title, width=width, position="right", on_dismiss=close_drawer)(guarded)()
