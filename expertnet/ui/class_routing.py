"""The routing of a run's test set, computed once with progress.

In this module: class_routing.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from expertnet import routing
from expertnet.datasets import Split
from expertnet.inference import split_routing
from expertnet.runs import Run


def class_routing(run: Run, split: Split, classes: tuple[str, ...]) -> pd.DataFrame:
    """One row a class, block and expert with the mean weight."""
    bar = st.progress(0.0, text="Routing the test pictures, once for this checkpoint …")
    weights = split_routing(run, split, progress=lambda share: bar.progress(share), threads=1)
    bar.empty()
    return routing.class_table(weights, split.labels, classes)
