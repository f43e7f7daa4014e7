import pytest

from expertnet.store import rows


@pytest.fixture
def reads(monkeypatch):
    """The ids of the runs that were read, in order; a row looks for damage once when its run is read."""
    seen, find_damage = [], rows.find_damage

    def recorded(run, *arguments):
        seen.append(run.id)
        return find_damage(run, *arguments)

    monkeypatch.setattr(rows, "find_damage", recorded)
    return seen
