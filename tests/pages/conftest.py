"""A store."""

import pytest

from expertnet.store.run_store import RunStore


@pytest.fixture
def store():
    return RunStore()
