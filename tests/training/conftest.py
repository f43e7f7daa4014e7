"""A store, a manager that trains its runs and is closed after the test, and images of two classes."""

import pytest

from expertnet.data.datasets import Dataset
from expertnet.data.info import DatasetInfo
from expertnet.store.run_store import RunStore
from expertnet.training.manager import Manager
from tests.support.colors import two_colors


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def manager(store):
    made = Manager(store)
    yield made
    made.close()


@pytest.fixture
def data():
    info = DatasetInfo(
        name="colors",
        classes=("red", "blue"),
        mean=(0.35, 0.25, 0.35),
        std=(0.2, 0.15, 0.2),
        image_size=8,
        fingerprint="x",
    )
    return Dataset(info, two_colors(100, 1), two_colors(40, 2), two_colors(60, 3))
