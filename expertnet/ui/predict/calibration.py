"""The temperature that makes a run's probabilities as high as its answers are often right, once the Evaluate page has the outputs."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.evaluation.outputs import cached_outputs
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run

KEY = "calibrate"


def temperature_of(run: Run, checkpoint: Checkpoint) -> float | None:
    """Return the temperature of a run that has been calibrated, if the user wants calibrated probabilities."""
    return _fitted(run, checkpoint) if st.session_state.get(KEY) else None


def pick_calibration(row: DeltaGenerator, run: Run, checkpoint: Checkpoint) -> float | None:
    """Ask in a row of controls whether to calibrate, if the run has been calibrated. Return the temperature, or None."""
    if _fitted(run, checkpoint) is None:
        return None
    row.toggle(
        "Calibrated",
        key=KEY,
        help="Divide the logits by the temperature that fits the validation images best. The other pages show the network's own "
        "probabilities.",
    )
    return temperature_of(run, checkpoint)


def _fitted(run: Run, checkpoint: Checkpoint) -> float | None:
    outputs = None if run.settings().watches_test else cached_outputs(run, "validation", checkpoint)
    return outputs.temperature if outputs is not None else None
