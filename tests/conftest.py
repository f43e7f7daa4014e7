"""Every test has a store and a data folder of its own; decoded digits are shared, since they never change.

So are trained networks (app/opening.py). Where tests run in several processes, each has a shared folder of its own.
"""

import pytest


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, shared_data, monkeypatch):
    monkeypatch.setenv("EXPERTNET_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("EXPERTNET_DATA", str(shared_data))
