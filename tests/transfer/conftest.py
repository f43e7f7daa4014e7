"""A run to export, a store to import it into, and a network as ONNX."""

import pytest

from expertnet.store.run_store import RunStore
from tests.support.onnx_networks import graph, predictor
from tests.support.opening import finished


@pytest.fixture(scope="session")
def source(tmp_path_factory, shared_data):
    """A trained run with a checkpoint of every epoch. Tests do not change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPERTNET_DATA", str(shared_data))
        return finished(RunStore(tmp_path_factory.mktemp("source")), **{"training.keep_every": 1})


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "elsewhere")


@pytest.fixture(scope="session")
def plain():
    """The network of the report, and its graph."""
    net = predictor()
    return net, graph(net)
