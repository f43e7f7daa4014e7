"""What is typed into the form stands in the address too, so that a reload keeps it and it can be shared.

In this module: read_address (when a session begins) and keep_address (at the end of the page).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from expertnet.settings.schema import Settings
from expertnet.settings.url import from_query, is_form_key, to_query


def read_address() -> tuple[Settings, str, str]:
    """The settings and the preset of the address, and a sentence on what of it could not be used ("" if nothing).

    Only a session that begins asks: later the form is the truth, whatever an address from before says.
    """
    return from_query({name: st.query_params[name] for name in st.query_params if is_form_key(name)})


def keep_address(preset: str, dataset: str, form: Mapping[str, Any]) -> None:
    """Puts the form into the browser's address, in the place of what stood there.

    Not by st.query_params, which adds a step to the browser's history at every change: Back would no longer leave the page.
    """
    others = {name: st.query_params.get_all(name) for name in st.query_params if not is_form_key(name)}
    query = urlencode(others | to_query(preset, dataset, form), doseq=True)  # letters, digits and %-+_.~&= alone
    st.html(
        f"<script>history.replaceState(history.state, '', location.pathname + '{'?' * bool(query)}{query}')"
        f" /* {time.monotonic_ns()}: at every run, for others write the address too */</script>",
        unsafe_allow_javascript=True,
    )
