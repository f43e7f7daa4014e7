"""The card at the head of the lab: what routing does in this network, and whether the network relies on it."""

import streamlit as st

from expertnet.findings.verdict import verdict
from expertnet.routing.effects import cached_effects
from expertnet.routing.lab import Lab
from expertnet.ui.experts.effects import policy_effects
from expertnet.ui.experts.selection import Selection
from expertnet.utils.text import escape


def verdict_card(selection: Selection, lab: Lab, ask: bool) -> None:
    """Show the verdict. With `ask`, offer to measure whether routing matters if this is not known yet."""
    with st.container(border=True, key="verdict", gap="xsmall"):
        place = st.container()
        measured = cached_effects(selection.run, "policies", selection.checkpoint)
        if measured is None and ask and selection.split is not None:
            measured = policy_effects(selection, lab)
        place.markdown(escape(" ".join(verdict(lab, measured))))
