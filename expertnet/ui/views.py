"""Choose one of a page's views. Each has its own URL."""

from collections.abc import Iterable, Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.ui import choices, shell
from expertnet.utils.text import escape

CHARACTER, SEGMENT = 6.7, 33.5  # pixels: a character of a name, and the space around the name


def pick_view(
    row: DeltaGenerator, views: Sequence[str], former: Mapping[str, str] = {}, hidden: Sequence[str] = ()
) -> str:
    """Ask for a view, at first the first one. Every choice is a step in the browser's history.

    `former` maps names in old URLs to those of today. The URL may ask for `hidden` views, which have nothing to show now.
    """
    asked, first = choices.read("view") or views[0], views[0]
    asked = former.get(asked.lower(), asked)
    named = next((name for name in views if name.lower() == asked.lower()), first)
    if asked.lower() not in (name.lower() for name in (*views, *hidden)):
        shell.toast(f"There is no view “{escape(asked[:80])}”. “{first}” is shown instead.")
        choices.write("view", "")
    st.session_state["view"] = named

    def choose() -> None:
        choices.write("view", st.session_state["view"])

    return str(
        row.segmented_control(
            "View",
            views,
            required=True,
            key="view",
            on_change=choose,
            label_visibility="collapsed",
            width=segments_width(views),
        )
    )


def segments_width(names: Iterable[str]) -> int:
    """Return the width of a segmented control, which keeps what is beside it in its place while the browser loads it."""
    return round(sum(CHARACTER * len(name) + SEGMENT for name in names))
