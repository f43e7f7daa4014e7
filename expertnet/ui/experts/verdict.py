"""The card at the head of the lab: what routing does in this network, and whether the network relies on it."""

import streamlit as st

from expertnet.findings.controls import known
from expertnet.findings.verdict import verdict
from expertnet.routing.effects import parts
from expertnet.routing.lab import Lab
from expertnet.routing.policies import ROUTINGS
from expertnet.store.run_store import RunStore
from expertnet.ui.experts.effects import policy_effects
from expertnet.ui.experts.selection import Selection
from expertnet.utils.text import escape


def verdict_card(selection: Selection, lab: Lab, ask: bool, controls: bool = True) -> None:
    """Show the verdict. With `ask`, offer to measure whether the network relies on routing if this is not known yet.

    With `controls`, also say what the retrained controls show, if there are any.
    """
    with st.container(border=True, key="verdict", gap="xsmall"):
        place = st.container()
        part = parts(selection.run)[0]
        measured = ROUTINGS.cached(selection.run, part, selection.checkpoint)
        if measured is None and ask and selection.split is not None:
            measured = policy_effects(selection, part)
        retrained = known(selection.run, RunStore()) if controls else None
        place.markdown(escape(" ".join([*verdict(lab, measured), *([retrained[1].sentence] if retrained else [])])))
