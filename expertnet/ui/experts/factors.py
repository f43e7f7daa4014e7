"""What the routing follows, for images of which it is known what they show."""

import streamlit as st

from expertnet.findings import factors
from expertnet.routing.lab import Lab
from expertnet.ui.finding import show


def factors_panel(dataset: str, lab: Lab, block: int) -> None:
    """Show how much each known factor of the images decides, and the weights of a block by the values of the strongest one."""
    shares, values = factors.factors(lab, dataset), factors.values(lab, dataset, block)
    if shares is None or values is None:
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("What the routing follows")
        show(shares)
    with right:
        st.subheader("Mean routing by factor")
        show(values)
