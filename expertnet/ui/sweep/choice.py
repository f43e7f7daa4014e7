"""Which sweep is in view."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.sweeps.sweep import Sweep
from expertnet.utils.text import escape


def sweep_in_view(sweeps: list[Sweep]) -> Sweep | None:
    """Return the sweep in the URL, else the newest active one; None for the form."""
    asked = st.query_params.get("sweep", "")
    if not asked:
        return next((sweep for sweep in sweeps if sweep.active), None)
    found = next((sweep for sweep in sweeps if sweep.id == asked), None)
    if found is None and asked != "none":
        st.info("There is no sweep at this URL. It was deleted, or the URL is mistyped.", icon=":material/info:")
    return found


def pick_sweep(place: DeltaGenerator, sweeps: list[Sweep], shown: Sweep | None) -> None:
    """Draw the ways to other sweeps and to the form."""
    if shown is not None and place.button("New sweep", icon=":material/add:", key="new sweep"):
        st.query_params["sweep"] = "none"
        st.rerun()
    others = [sweep for sweep in sweeps if shown is None or sweep.id != shown.id]
    if others:
        with place.popover(f"Sweeps ({len(others)})", icon=":material/history:", key="sweeps"):
            for sweep in others:
                if st.button(
                    f"{escape(sweep.title)} · {sweep.status().state}", key=f"open {sweep.id}", type="tertiary"
                ):
                    st.query_params["sweep"] = sweep.id
                    st.rerun()
