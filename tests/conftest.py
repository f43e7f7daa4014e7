"""Gives every test an empty store. Decoded digits and trained networks are shared, because they never change."""

import gc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# On a busy machine no example is too slow
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    gc.disable()
    result = yield
    gc.freeze()  # modules are never garbage, and collecting through all of torch would take a quarter of the start
    gc.enable()
    return result


@pytest.hookimpl(tryfirst=True)  # before -m chooses tests by their marks
def pytest_collection_modifyitems(items):
    marks = {"pages": pytest.mark.slow, "browser": pytest.mark.browser}
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in marks:
            item.add_marker(marks[folder])


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, shared_data, monkeypatch):
    monkeypatch.setenv("EXPERTNET_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("EXPERTNET_DATA", str(shared_data))


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """A data folder that no other test uses."""
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
