"""What the form holds: in the session, so that it survives other pages, and in the URL, so that you can reload or share it."""

import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from expertnet.data.builtin import BUILTIN
from expertnet.settings.fields import field_of, flat
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.settings.schema import Settings, parse_numbers
from expertnet.settings.url import from_query, is_form_key, to_query

FORM = "form"  # its key in the session
SHOWN = "run in view"  # in the session: the id of the run that was in view last, NONE for the form, or ""
WRITTEN = "URL was written"  # in the session
NONE = "none"  # also in the URL
TAB = "tab"  # in the session and in the URL: the open tab of a run that has ended
OVERVIEW = "Overview"  # the first tab, which the URL does not name
# Of the Predict page, whose query Streamlit also puts into the browser's history of this page
MISTAKE = ("image", "part")
CUSTOM = "own"  # the source of your own images
EXACT = 2**53  # from here on, floats skip whole numbers


@dataclass
class Form:
    """What you have typed. Streamlit forgets the state of a widget when you leave its page, so the widgets write here."""

    preset: str
    source: str  # a built-in dataset, or CUSTOM
    path: str  # of your own images
    settings: dict[str, Any]  # by dotted key; `dataset` replaces data.dataset
    generation: int = 1  # in the key of each widget; filling the form increases it, which makes new widgets
    unfolded: bool = False  # whether the settings are in view
    fitted: tuple[str, str] = ("", "")  # the preset and your own images to whose number the settings were last fitted
    uploads: int = 0  # files that were uploaded
    url_dataset: str = ""  # the dataset in the URL when the session began
    url_problem: str = ""  # what was wrong with the URL, until a widget changes

    @property
    def dataset(self) -> str:
        return self.path.strip() if self.source == CUSTOM else self.source


def current_form() -> Form:
    """Return the session's form. A new session begins with the settings in the URL; later ones in the URL are ignored."""
    if FORM not in st.session_state:
        query = {name: st.query_params[name] for name in st.query_params if is_form_key(name)}
        settings, preset, problem = from_query(query)
        fill(settings, preset)
        st.session_state[FORM].url_dataset, st.session_state[FORM].url_problem = settings.data.dataset, problem
    return st.session_state[FORM]


def fill(settings: Settings, preset: str) -> None:
    """Fill the form with these settings."""
    dataset = settings.data.dataset
    filled = Form(
        preset=preset if preset in PRESETS else DEFAULT_PRESET,
        source=dataset if dataset in BUILTIN else CUSTOM,
        path="" if dataset in BUILTIN else dataset,
        settings=flat(settings),
    )
    old = st.session_state.get(FORM)
    if old is not None:
        kept = {name: getattr(old, name) for name in ("uploads", "url_dataset", "unfolded")}
        filled = replace(filled, generation=old.generation + 1, **kept)
    st.session_state[FORM] = filled


def choose_dataset(dataset: str) -> None:
    """Choose a built-in dataset, or one of yours, in the form."""
    form = current_form()
    form.source, form.path = (dataset, form.path) if dataset in BUILTIN else (CUSTOM, dataset)
    form.generation += 1


def bound(key: str) -> dict[str, Any]:
    """Return the keywords of a widget that writes to the form: to `path` or a setting."""
    return {"key": widget_key(key), "on_change": sync, "args": (key,)}


def sync(key: str) -> None:
    """Copy a widget's value to the form, unless the form was filled since the widget was drawn, as by a quick click on a preset."""
    form, widget = current_form(), widget_key(key)
    if widget not in st.session_state:
        return
    value, form.url_problem = st.session_state[widget], ""
    if key == "path":
        form.path = value
    else:
        form.settings[key] = _setting(key, value)


def put(**values: Any) -> None:
    """Replace settings, by the names of `training`, in the form and in its widgets."""
    form = current_form()
    form.settings |= {f"training.{name}": value for name, value in values.items()}
    form.generation += 1


def widget_key(key: str) -> str:
    """Return the key of the widget of `preset`, `source`, `path` or a setting."""
    return f"field {current_form().generation} {key}"


def _setting(key: str, value: Any) -> Any:
    kind = field_of(key).kind
    if kind in ("ints", "blocks"):
        return tuple(parse_numbers(value))
    return whole(value) if kind == "int" else value


def whole(value: float) -> float:
    """Return a whole number as an int, and other numbers and those beyond EXACT unchanged."""
    return int(value) if float(value).is_integer() and abs(value) <= EXACT else value


def write_url(tabs: bool) -> None:
    """Put the run in view, its open tab if it has `tabs`, and the form into the browser's URL. Call it at the end of the page."""
    form, shown, tab = (
        current_form(),
        st.session_state[SHOWN],
        st.session_state.get(TAB, OVERVIEW) if tabs else OVERVIEW,
    )
    others = ({"run": [shown]} if shown else {}) | {
        name: st.query_params.get_all(name)
        for name in st.query_params
        if not is_form_key(name) and name not in (*MISTAKE, TAB)
    }
    if tab != OVERVIEW:  # Streamlit leaves out a tab that is open by default, as it is after Back
        others[TAB] = [tab]
    query = urlencode(others | to_query(form.preset, form.dataset, form.settings), doseq=True)
    mark = "?" if query else ""
    # st.query_params would add each change to the browser's history, and Back would no longer leave the page. But Streamlit's part in
    # the browser does not notice a change that is made like this: if the studio restarts while a page is open, the new session begins
    # with the query of the first load. The page then loads again, with the right one.
    renew = ""
    if WRITTEN not in st.session_state:
        st.session_state[WRITTEN] = True
        began = urlencode({name: st.query_params.get_all(name) for name in st.query_params}, doseq=True)
        renew = f"if (window.urlHasForm && text(location.search) !== text('{began}')) location.reload()\nelse "
    # A query contains only letters, digits and %-+_.~&=, so it can be put into a script.
    st.html(
        f"""<script>{{
        const text = (query) => [...new URLSearchParams(query)].sort().join()
        {renew}history.replaceState(history.state, '', location.pathname + '{mark}{query}')
        window.urlHasForm = true
        // {time.monotonic_ns()}: changes, so that the browser runs it again
        }}</script>""",
        unsafe_allow_javascript=True,
    )
