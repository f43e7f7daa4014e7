"""Delete the sweep in view."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.sweeps.deletion import delete_sweep, study_stays
from expertnet.sweeps.sweep import Sweep
from expertnet.ui.shell import action, toast
from expertnet.utils.text import escape


def deletion(place: DeltaGenerator, sweep: Sweep) -> None:
    """Draw a button that deletes a sweep that is not active, once it is confirmed."""
    title = escape(sweep.title)
    ask = place.popover("Delete", icon=":material/delete:", key=f"ask {sweep.id}")
    ask.write(
        f"This permanently deletes the sweep “{title}” with its plan and its record of the trials. You cannot undo this. "
        f"Its runs stay on the Runs page. {escape(study_stays(sweep))}"
    )

    def delete() -> None:
        delete_sweep(sweep)
        st.query_params["sweep"] = "none"
        toast(f"“{title}” is deleted. Its runs stay on the Runs page.")

    action(ask, "Delete this sweep", "delete_forever", f"delete {sweep.id}", delete, type="primary")
