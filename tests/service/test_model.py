"""The graph that the service keeps for its next start."""

import pytest
from safetensors.torch import load_file, save_file

from expertnet.service.model import load_served
from tests.support.lab import saved_run


class ConvertsError(Exception):
    """The network would be converted."""


def refuse(activity, share=None):
    if activity == "Converting the network":
        raise ConvertsError


@pytest.mark.long
def test_a_network_is_converted_once_and_again_if_the_file_or_the_weights_change(tmp_path):
    run = saved_run(tmp_path)
    with pytest.raises(ConvertsError):
        load_served(run, progress=refuse)
    served = load_served(run)
    again = load_served(run, progress=refuse)
    assert again.fingerprint == served.fingerprint
    kept = run.path / "service-best.onnx"
    content = kept.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"no graph"):
        kept.write_bytes(damaged)
        with pytest.raises(ConvertsError):
            load_served(run, progress=refuse)
    kept.write_bytes(content)
    weights = run.checkpoints.path("best")
    changed = {name: value * 1.01 if value.is_floating_point() else value for name, value in load_file(weights).items()}
    save_file(changed, weights, {"epoch": str(served.predictor.epoch)})
    with pytest.raises(ConvertsError):
        load_served(run, progress=refuse)
