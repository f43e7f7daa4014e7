"""What every page stands in: the navigation, the guard, and words that several pages share.

In this module: PAGES, navigate (app.py), require (the first line of every page), link, shown_error, act (what a button does),
told, progress_bar, and how words, shares and times are written (escape, state_label, percent, duration).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import streamlit as st

from expertnet.errors import UserError
from expertnet.settings.fields import with_labels
from expertnet.ui.auth import login
from expertnet.ui.preload import warm_up
from expertnet.utils.files import os_error_sentence
from expertnet.utils.text import escape as escape
from expertnet.utils.text import percent as percent

ROOT = Path(__file__).parents[2]
TITLE, ICON = "ExpertNet Studio", str(Path(__file__).with_name("icon.svg"))
BEGIN_ANEW = True  # see require
STATES = {  # word and icon, so that colour never stands alone
    "queued": ":material/schedule: queued",
    "running": ":material/play_circle: training",
    "stopping": ":material/pending: stopping",
    "finished": ":material/check_circle: finished",
    "stopped": ":material/stop_circle: stopped",
    "failed": ":material/error: failed",
    "interrupted": ":material/power_off: interrupted",
}


PAGES = {  # file: title, icon
    "train": ("Train", "model_training"),
    "runs": ("Runs", "table_rows"),
    "experts": ("Experts", "account_tree"),
    "predict": ("Predict", "image_search"),
}


def _page(name: str) -> Any:
    title, icon = PAGES[name]
    return st.Page(ROOT / "pages" / f"{name}.py", title=title, icon=f":material/{icon}:")


def link(name: str, label: str, run: str | None = None, icon: str | None = None) -> None:
    """A link to a page, at a run where one is given."""
    icon = f":material/{icon or PAGES[name][1]}:"
    st.page_link(_page(name), label=label, icon=icon, query_params={"run": run} if run else None)


def navigate() -> None:
    """Draws the navigation and runs the chosen page."""
    page = _navigation()
    st.session_state["navigated"] = True
    try:
        page.run()
    finally:
        warm_up()  # now that nobody waits for the first page


def require() -> None:
    """The first line of every page: after a start, a page can be asked for past app.py, and then draws the navigation itself.

    Its widgets would be others than those that app.py leads to, and what is first clicked lost: so it begins anew, once.
    """
    if not st.session_state.pop("navigated", False):
        _navigation()
        if BEGIN_ANEW and "began anew" not in st.session_state:
            st.session_state["began anew"] = True
            st.rerun()
    login.guard()  # again, whoever left that mark
    login.badge()


def _navigation() -> Any:
    st.set_page_config(page_title=TITLE, page_icon=ICON, layout="wide")
    login.guard()
    pages = {name: _page(name) for name in PAGES}

    def start() -> None:  # the default page has no name in the address, and would not be found by one
        name, query = login.asked_page()
        st.switch_page(pages.get(name, pages["train"]), query_params=query or dict(st.query_params))

    page = st.navigation([*pages.values(), st.Page(start, default=True, visibility="hidden")], position="top")
    if page in pages.values():
        st.set_page_config(page_title=f"{page.title} · {TITLE}")  # which tells the tabs of a browser apart
    return page


@contextmanager
def shown_error() -> Iterator[None]:
    """Shows the sentence of a foreseen error where the panel would have stood."""
    try:
        yield
    except UserError as error:
        st.error(escape(with_labels(str(error))), icon=":material/error:")
    except OSError as error:  # a disk that is full or may not be written
        st.error(escape(os_error_sentence(error)), icon=":material/error:")


def act(action: Callable[[], object]) -> None:
    """What a button changes, for those who may: its foreseen error shown, or else the page drawn anew.

    No page changes anything in another way, but inside login.changing().
    """
    with shown_error():
        with login.changing():
            action()
        st.rerun()


def told(sentence: str) -> None:
    """What an address asked for in vain; it outlives the page's next runs, in which the address is mended already."""
    st.toast(sentence, icon=":material/info:", duration="long")


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float | None], None]]:
    """Gives a function that shows what is being done and its share; the bar is there only while there is something to show."""
    place = st.empty()

    def show(activity: str, share: float | None) -> None:
        place.progress(share or 0.0, text=f"{escape(activity)} …")

    try:
        yield show
    finally:
        place.empty()


def state_label(state: str) -> str:
    return STATES.get(state, escape(state))


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: 45 s, 3 min 20 s, 2 h 5 min."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
