"""A run that all tests of the commands share. They do not change it."""

import shutil
from dataclasses import dataclass

import pytest

from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from tests.support.command import TRAIN_TINY, document


@dataclass(frozen=True)
class Trained:
    """A folder of runs with one trained run, named "mine"."""

    env: dict[str, str]  # the environment variables with which a command finds it
    document: dict[str, object]  # what `train --json` printed

    @property
    def store(self) -> RunStore:
        return RunStore(self.env["EXPERTNET_RUNS"])

    @property
    def run(self) -> Run:
        return self.store.get(str(self.document["run"]))


@pytest.fixture(scope="session")
def trained(tmp_path_factory, shared_data):
    env = {"EXPERTNET_RUNS": str(tmp_path_factory.mktemp("cli") / "runs"), "EXPERTNET_DATA": str(shared_data)}
    return Trained(env, document(*TRAIN_TINY, "--set", "training.epochs=2", "--name", "mine", **env))


@pytest.fixture
def overflowing(trained, tmp_path):
    """A copy of the run with finite weights, so large that no output is."""
    uncached = shutil.ignore_patterns("outputs-*", "novelty-*")
    shutil.copytree(trained.run.path, tmp_path / "large" / trained.run.id, ignore=uncached)
    run = RunStore(tmp_path / "large").get(trained.run.id)
    weights, epoch = run.checkpoints.load("best")
    large = {name: each * 1e25 if "experts" in name and each.ndim > 1 else each for name, each in weights.items()}
    run.checkpoints.save("best", large, epoch)
    return run
