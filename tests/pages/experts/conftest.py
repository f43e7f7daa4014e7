"""The views measure without being asked, and a data folder that no other test uses."""

from math import inf

import pytest

from expertnet.ui.experts import effects


@pytest.fixture(autouse=True)
def _measures_however_busy_the_machine_is(monkeypatch):
    monkeypatch.setattr(effects, "UNASKED", inf)


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
