"""A store, and which of its runs were read."""

import pytest

from expertnet.store import rows
from expertnet.store.run_store import RunStore


@pytest.fixture
def reads(monkeypatch):
    """The ids of the runs that were read, in order; a row looks for damage once when its run is read."""
    seen, find_damage = [], rows.find_damage

    def recorded(run, *arguments):
        seen.append(run.id)
        return find_damage(run, *arguments)

    monkeypatch.setattr(rows, "find_damage", recorded)
    return seen


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")
