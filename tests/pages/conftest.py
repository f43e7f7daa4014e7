"""A store, and pages that measure without being asked, however busy the machine is."""

from math import inf

import pytest

from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.sweeps.engine import stop_sweep
from expertnet.sweeps.sweep import all_sweeps
from expertnet.ui import tasks


@pytest.fixture(autouse=True)
def _measures_however_busy_the_machine_is(monkeypatch):
    monkeypatch.setattr(tasks, "JUDGED_AFTER", inf)


@pytest.fixture
def store():
    return RunStore()


@pytest.fixture
def paused():
    """Let nothing train, and end the threads of sweeps."""
    RunStore().root.mkdir()
    RunQueue(RunStore().root).pause(True)
    yield
    for sweep in all_sweeps(RunStore()):
        if sweep.active:
            stop_sweep(sweep)
