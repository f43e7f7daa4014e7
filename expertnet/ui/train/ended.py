"""A run that has ended: what came of it, what you can do next, and tabs with its curves, mistakes, settings and log."""

import re

import streamlit as st

from expertnet.errors import RunError
from expertnet.findings.outcome import needs_more, outcome
from expertnet.settings.fields import command_line
from expertnet.settings.presets import PRESETS
from expertnet.store.checks import check_network
from expertnet.store.run import Run
from expertnet.store.status import Status
from expertnet.ui.choices import went_back
from expertnet.ui.run_details import settings_table, tracker_links
from expertnet.ui.shell import shown_error
from expertnet.ui.style import room_key
from expertnet.ui.train.actions import ended_actions
from expertnet.ui.train.mistakes import LEFT, mistakes_view
from expertnet.ui.train.overview import curves, final_numbers
from expertnet.ui.train.summary import summary
from expertnet.ui.train.values import OVERVIEW, TAB
from expertnet.utils.home import launcher
from expertnet.utils.text import escape, time_text

MISTAKES, SETTINGS, LOG = "Mistakes", "Settings", "Log"
TABS = [OVERVIEW, MISTAKES, SETTINGS, LOG]
LINES = 200  # of the log


def ended_view(run: Run, status: Status) -> None:
    """Draw the outcome, the actions and the tabs. Only the content of the open tab is computed."""
    info, settings = run.dataset_info(), run.settings()
    classes = len(info.classes) if info else 0

    def see_mistakes() -> None:
        st.session_state[TAB] = MISTAKES

    sentence = outcome(settings, run.preset, status, classes)
    with st.container(key=room_key("outcome") if sentence else None):  # in the place of a training's actions
        if sentence:
            st.markdown(f"**{escape(sentence)}**")
        ended_actions(run, status, see_mistakes, needs_more(settings, run.preset, status, classes))
    left = st.session_state.pop(LEFT, None) == run.id
    first = MISTAKES if left and went_back() else OVERVIEW
    for tab, title in zip(st.tabs(TABS, default=first, key=TAB, bind="query-params"), TABS, strict=True):
        if tab.open:
            with tab, shown_error():
                if title == OVERVIEW:
                    final_numbers(run, status)
                    curves(run, live=False)
                    if status.state == "failed":
                        _log(run)
                elif title == MISTAKES:
                    _mistakes(run)
                elif title == SETTINGS:
                    _settings(run)
                else:
                    _log(run)


def _mistakes(run: Run) -> None:
    try:
        check_network(run)
    except RunError as error:
        st.caption(escape(str(error)))
    else:
        mistakes_view(run)


def _settings(run: Run) -> None:
    """Draw the network, the command line and all settings."""
    settings = run.settings()
    summary(settings)
    if run.preset in PRESETS:
        st.caption("On the command line:")
        st.code(command_line(settings, run.preset, launcher()), language="bash", wrap_lines=True)
    tracker_links(run)
    settings_table(run)


def _log(run: Run) -> None:
    log = re.sub(r"^(\S+)  ", lambda found: f"{time_text(found[1])}  ", run.log_tail(LINES), flags=re.MULTILINE)
    if log:
        st.code(log, language=None, wrap_lines=True)
    else:
        st.caption("The log is empty.")
