"""A run to export, a store to import it into, and a network as ONNX."""

import pytest

from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.transfer.export_onnx import export_onnx, package
from tests.support.onnx_networks import graph, predictor
from tests.support.onnx_scripts import unpacked
from tests.support.opening import SHIPPED_CONTEXTS, finished


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


@pytest.fixture(scope="session")
def exported(tmp_path_factory, shared_data):
    """A run, its network and the folder of its export."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPERTNET_DATA", str(shared_data))
        run = Run(SHIPPED_CONTEXTS)
        found = export_onnx(run)
        return run, found, unpacked(package(run, found, "# A card"), tmp_path_factory.mktemp("onnx"))
