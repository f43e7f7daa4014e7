"""A data folder that no other test uses."""

import pytest


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
