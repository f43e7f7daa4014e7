"""What is said about the confidence of a network, with and without a temperature."""

import torch

from expertnet.evaluation.outputs import Outputs
from expertnet.findings.calibration import reliability


def test_a_temperature_that_is_missing_is_said_to_be_missing():
    shares = torch.tensor([[0.6, 0.4], [0.6, 0.4]])
    outputs = Outputs("test", torch.tensor([0, 1]), shares.log(), torch.ones(2, 1, 1), None)
    # the mean of -ln 0.6 and -ln 0.4
    assert reliability(outputs, None).sentence.endswith(
        " The expected calibration error is 10.0% and the negative log-likelihood 0.714. There is no temperature: it is "
        "fitted on the answers for at least 50 validation images, some of them wrong."
    )
    assert reliability(outputs, 2.0).sentence.split("; ")[1].startswith("with temperature 2.00, ")
