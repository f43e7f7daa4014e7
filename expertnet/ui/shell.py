"""What every page shares: the navigation, the guard, and the wording of states, shares and times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import streamlit as st

from expertnet.errors import UserError
from expertnet.settings.fields import with_labels
from expertnet.ui.auth import login
from expertnet.utils.files import os_error_sentence
from expertnet.utils.home import HOME
from expertnet.utils.text import escape as escape
from expertnet.utils.text import percent as percent

SCRIPT = Path(__file__).with_name("navigation.py")  # what Streamlit runs, and app.py serves
TITLE, ICON = "ExpertNet Studio", str(Path(__file__).with_name("icon.svg"))
STATES = {  # word and icon, so that colour never stands alone
    "queued": ":material/schedule: queued",
    "running": ":material/play_circle: training",
    "stopping": ":material/pending: stopping",
    "finished": ":material/check_circle: finished",
    "stopped": ":material/stop_circle: stopped",
    "failed": ":material/error: failed",
    "interrupted": ":material/power_off: interrupted",
}


PAGES = {  # file name: title and icon
    "train": ("Train", "model_training"),
    "runs": ("Runs", "table_rows"),
    "experts": ("Experts", "account_tree"),
    "predict": ("Predict", "image_search"),
}


def _page(name: str) -> Any:
    title, icon = PAGES[name]
    return st.Page(HOME / "pages" / f"{name}.py", title=title, icon=f":material/{icon}:")


def link(name: str, label: str, run: str | None = None, icon: str | None = None) -> None:
    """A link to a page, at a run where one is given."""
    icon = f":material/{icon or PAGES[name][1]}:"
    st.page_link(_page(name), label=label, icon=icon, query_params={"run": run} if run else None)


def navigate() -> None:
    """Draws the navigation and runs the chosen page."""
    st.set_page_config(page_title=TITLE, page_icon=ICON, layout="wide")
    login.guard()  # before the names of the pages are drawn
    pages = {name: _page(name) for name in PAGES}

    def start() -> None:
        name, query = login.asked_page()
        st.switch_page(pages.get(name, pages["train"]), query_params=query or dict(st.query_params))

    # The default page has no name in the URL, so a link could not name it. A hidden page leads to the first one instead.
    page = st.navigation([*pages.values(), st.Page(start, default=True, visibility="hidden")], position="top")
    if page in pages.values():
        st.set_page_config(page_title=f"{page.title} · {TITLE}")  # tells browser tabs apart
    page.run()


def require() -> None:
    """Ends the script for users who may not see the page. The first line of every page, whatever ran the page."""
    login.guard()
    login.badge()


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
