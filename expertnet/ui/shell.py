"""Shared by all pages: navigation, the guard, errors, progress, and the looks of states and times."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import RerunException

from expertnet.errors import UserError
from expertnet.settings.fields import with_labels
from expertnet.store.notes import SWEEP_TAG
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.trash import trashed
from expertnet.training import controls
from expertnet.training.manager import manager
from expertnet.ui import choices
from expertnet.ui.announce import announce
from expertnet.ui.auth import login
from expertnet.utils.files import os_error_sentence
from expertnet.utils.home import HOME
from expertnet.utils.progress import Report
from expertnet.utils.text import cut, escape, estimate

SCRIPT = Path(__file__).with_name("navigation.py")  # what Streamlit runs, and app.py serves
TITLE, ICON = "ExpertNet Studio", str(Path(__file__).with_name("icon.svg"))
STATES = {  # icon, and a sign for table cells, which show no icons
    "queued": ("schedule", "◷"),
    "running": ("play_circle", "▶"),
    "stopping": ("pending", "…"),
    "finished": ("check_circle", "✓"),
    "stopped": ("stop_circle", "■"),
    "failed": ("error", "✗"),
    "interrupted": ("power_off", "!"),
}
PAGES = {  # file name: title and icon
    "train": ("Train", "model_training"),
    "data": ("Data", "photo_library"),
    "sweep": ("Sweep", "search_insights"),
    "runs": ("Runs", "table_rows"),
    "evaluate": ("Evaluate", "fact_check"),
    "experts": ("Experts", "account_tree"),
    "predict": ("Predict", "image_search"),
}
TRIALS = {controls.TAG, SWEEP_TAG}
STRIP_TICK, IDLE_TICK = 3.0, 10.0  # seconds; the second while nothing trains
LONGEST = 40  # characters of a title in the strip
TOASTS = "toasts"  # in the session: sentences that are not drawn yet


def _page(name: str) -> Any:
    title, icon = PAGES[name]
    return st.Page(HOME / "pages" / f"{name}.py", title=title, icon=f":material/{icon}:")


def link(name: str, label: str, run: str | None = None, icon: str | None = None, **query: str) -> None:
    """Draw a link to a page, or to a run on it. `query` is added to the URL."""
    icon = f":material/{icon or PAGES[name][1]}:"
    st.page_link(_page(name), label=label, icon=icon, query_params=({"run": run} if run else {}) | query or None)


def open_page(name: str, run: str, **query: str) -> None:
    """Open a run on a page. Callbacks cannot do this."""
    st.switch_page(_page(name), query_params={"run": run} | query)


def missing(run_id: str, store: RunStore) -> str:
    """Say why there is no run at the URL."""
    if any(run.id == run_id for run in trashed(store)):
        return "This run is in the trash. You can restore it on the Runs page."
    return "There is no run at this URL. It was deleted, or the URL is mistyped."


def nothing_yet(sentence: str) -> None:
    """Say that something is missing, with a link to the page that makes it."""
    st.info(f"{sentence} Train on the digits first, which takes about a minute.", icon=":material/model_training:")
    link("train", "Go to Train", icon="arrow_forward")


def navigate() -> None:
    """Draw the navigation and run the chosen page."""
    st.set_page_config(page_title=TITLE, page_icon=ICON, layout="wide")
    st.logo(ICON, size="large")
    login.guard()  # before the names of the pages are drawn
    pages = {name: _page(name) for name in PAGES}

    def start() -> None:
        name, query = login.asked_page()
        st.switch_page(pages.get(name, pages["train"]), query_params=query or dict(st.query_params))

    # The default page has no name in the URL, so a link could not name it. A hidden page leads to the first one instead.
    page = st.navigation([*pages.values(), st.Page(start, default=True, visibility="hidden")], position="top")
    choices.follow_url(page.title)
    if page in pages.values():
        st.set_page_config(page_title=f"{page.title} · {TITLE}")  # tells browser tabs apart
        if page is not pages["train"]:  # which knows the run in view
            training_strip(None)
    again = False
    try:
        page.run()
    except RerunException:
        again = True
        raise
    finally:  # last, because what is loaded late moves what is below
        announce()
        for sentence in () if again else st.session_state.pop(TOASTS, ()):
            st.toast(sentence, icon=":material/info:", duration="long")


def training_strip(in_view: str | None, watched: bool = False) -> None:
    """Draw a line on the run in training (the first of several), or else on the next one in the queue, unless it is `in_view`.

    Its numbers stay fresh, and the page is drawn again once the line is about other runs. A page that is `watched` draws itself
    again when one appears.
    """
    # Always there, or the browser would redraw a canvas below it, and empty it, when the line comes or goes
    place, drawn = st.container(key="training strip"), _line(in_view)
    if watched and not drawn.ids:
        return

    def look() -> None:
        if _line(in_view) != drawn:
            for run in map(_run, drawn.ids if drawn.trains else ()):
                # Trials are shown on their pages, and are many
                if run.path.is_dir() and not run.status().active and not TRIALS & {*run.notes().tags}:
                    toast(f"{escape(cut(run.title, LONGEST))}: {run.state}.")
            st.rerun()
        if drawn.ids:
            _strip(_run(drawn.ids[0]), drawn)

    with place:
        login.fragment(look, run_every=STRIP_TICK if drawn.ids else IDLE_TICK)()


class _Line(NamedTuple):
    """The runs that the line is about. Without it between two runs of the queue, the page would move twice."""

    trains: bool  # or the run is the next one
    ids: list[str]


def _line(in_view: str | None) -> _Line:
    head = manager().queue.head()  # before those in training, or a run that is taken meanwhile would be in neither
    ids = [run.id for run in manager().training()]
    about = ids or ([head.run] if head else [])
    return _Line(bool(ids), [run_id for run_id in about if run_id != in_view])


def _run(run_id: str) -> Run:
    return Run(manager().store.root / run_id)


def _strip(run: Run, line: _Line) -> None:
    status, row = run.status(), st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small")
    more = f" (+{len(line.ids) - 1})" if len(line.ids) > 1 else ""
    # Not a link: after a link from the Train page to itself, the browser keeps the old URL.
    label = f"{'Now training' if line.trains else 'Next'}: {escape(cut(run.title, LONGEST))}{more}"
    if row.button(label, icon=":material/model_training:", type="tertiary", key="in training"):
        open_page("train", run.id)
    epoch = f"epoch {min(status.epoch + 1, max(status.epochs, 1))} of {max(status.epochs, 1)}"
    left = "" if status.seconds_left is None else f" · {estimate(status.seconds_left)} left"
    said = epoch + left if line.trains else "in the queue"
    row.caption("stopping" if status.state == "stopping" else said, width="content")
    if status.state == "running":
        help = "Keeps completed epochs."
        action(row, "Stop", "stop_circle", "stop training", lambda: manager().stop(run), help=help, type="tertiary")


def require() -> None:
    """End the script for users who may not see the page. Every page begins with this call."""
    login.guard()
    login.badge()


@contextmanager
def shown_error() -> Iterator[None]:
    """Show an expected error in place of the panel."""
    try:
        yield
    except UserError as error:
        st.error(escape(with_labels(str(error))), icon=":material/error:")
    except OSError as error:  # such as a full or read-only disk
        st.error(escape(os_error_sentence(error)), icon=":material/error:")


def act(action: Callable[[], object]) -> None:
    """Run what a button does if the user may make changes. Shows an expected error, or else draws the page again.

    Pages change things only here or inside login.changing().
    """
    with shown_error():
        with login.changing():
            action()
        st.rerun()


def action(
    place: DeltaGenerator, label: str, icon: str, key: str, change: Callable[[], object], **options: Any
) -> None:
    """Draw a button that changes something. View-only users see it disabled."""
    if place.button(label, icon=f":material/{icon}:", key=key, **login.reserved(**options)):
        act(change)


def keep_choice(key: str, labels: list[str]) -> None:
    """Keep what is chosen in a widget whose labels have changed. Call it before the widget.

    A browser sends the labels that it has drawn, and old ones would be taken for no choice.
    """
    drawn = f"labels of {key}"
    if key in st.session_state and st.session_state.get(drawn) != labels:
        st.session_state[key] = st.session_state[key]  # sends the new labels
    st.session_state[drawn] = labels


def toast(sentence: str) -> None:
    """Say what was done, or why something in the URL was ignored. The toast outlasts reruns.

    The navigation draws it last, because the browser may drop what is drawn just before a rerun.
    """
    st.session_state.setdefault(TOASTS, []).append(sentence)


@contextmanager
def progress_bar() -> Iterator[Report]:
    """Yield a function that shows an activity and the share that is done. The bar disappears at the end."""
    place = st.empty()
    try:
        yield lambda activity, share: place.progress(share or 0.0, text=f"{escape(activity)} …")
    finally:
        place.empty()


def state_label(state: str) -> str:
    """Return a state with its icon, as Markdown."""
    return f":material/{STATES[state][0]}: {state}" if state in STATES else escape(state)


def state_mark(state: str) -> str:
    """Return a state with its sign, for a table cell."""
    return f"{STATES[state][1]} {state}" if state in STATES else state
