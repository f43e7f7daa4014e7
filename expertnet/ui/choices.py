"""Choices that are steps in the browser's history: in the URL, so that Back undoes them, and in the session.

The URL decides when a page is opened and after Back and Forward. Otherwise the session does, because a browser may send a
click before it has the new URL.
"""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

PAGE, CHOICES = "page", "choices"  # in the session: the open page, and its choices by query key


def went_back() -> bool:
    """Return whether the script runs because of Back or Forward."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def follow_url(page: str) -> None:
    """Forget the choices on another page, and before Back or Forward. Call it before the page."""
    if st.session_state.get(PAGE) != page or went_back():
        st.session_state[PAGE], st.session_state[CHOICES] = page, {}


def read(key: str) -> str:
    """Return a choice, "" if there is none."""
    asked = st.query_params.get(key, "")
    choice: str = st.session_state[CHOICES].setdefault(key, asked)
    if choice != asked:
        write(key, choice)
    return choice


def write(key: str, choice: str) -> None:
    """Change a choice, "" for none. This adds a step to the browser's history."""
    st.session_state[CHOICES][key] = choice
    if choice:
        st.query_params[key] = choice
    else:
        st.query_params.pop(key, None)
