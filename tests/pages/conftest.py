"""A store, and pages that measure without being asked, however busy the machine is."""

from math import inf

import pytest

from expertnet.store.run_store import RunStore
from expertnet.ui import tasks


@pytest.fixture(autouse=True)
def _measures_however_busy_the_machine_is(monkeypatch):
    monkeypatch.setattr(tasks, "JUDGED_AFTER", inf)


@pytest.fixture
def store():
    return RunStore()
