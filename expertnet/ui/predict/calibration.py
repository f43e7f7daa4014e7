"""The temperature that makes a run's probabilities as high as its answers are often right, once it has been calibrated."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.evaluation.outputs import cached_temperature
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run

KEY = "calibrate"


def temperature_of(run: Run, checkpoint: Checkpoint) -> float | None:
    """Return the temperature of a run that has been calibrated, if the user wants calibrated probabilities."""
    return cached_temperature(run, checkpoint) if st.session_state.get(KEY) else None


def pick_calibration(row: DeltaGenerator, run: Run, checkpoint: Checkpoint) -> float | None:
    """Ask in a row of controls whether to calibrate, if the run has been calibrated. Return the temperature, or None."""
    if cached_temperature(run, checkpoint) is None:
        return None
    row.toggle(
        "Calibrated",
        key=KEY,
        help="Divide the logits by the temperature that fits the validation images best. The other pages show the network's own "
        "probabilities.",
    )
    return temperature_of(run, checkpoint)
