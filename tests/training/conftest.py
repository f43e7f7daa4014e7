"""A store, and a manager that trains its runs and is closed after the test."""

import pytest

from expertnet.store.run_store import RunStore
from expertnet.training.manager import Manager


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def manager(store):
    made = Manager(store)
    yield made
    made.close()
