"""Calibration: whether probabilities can be trusted, and what is gained by not answering below a threshold."""

import streamlit as st

from expertnet.findings.calibration import reliability, thresholds
from expertnet.ui.evaluate.subject import Subject, outputs_on
from expertnet.ui.finding import show


def calibration_view(subject: Subject) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Reliability")
        if subject.run.watches_test:
            show(reliability(subject.outputs, None))
        else:
            validation = outputs_on(subject, "validation")
            if validation is not None:
                show(reliability(subject.outputs, validation.temperature))
    with right:
        st.subheader("Confidence threshold")
        threshold = st.slider("Threshold (%)", 0, 100, 80, key="threshold", bind="query-params")
        show(thresholds(subject.outputs, threshold / 100))
