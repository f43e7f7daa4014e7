"""What the server does without any page."""

import sys

import pytest

from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.sweeps.plan import Budget
from tests.support.served import running_server
from tests.support.small import settings, until
from tests.support.sweeps import started


def serve(port):
    return [sys.executable, "-m", "expertnet", "serve", "--port", str(port)]


@pytest.mark.slow
def test_what_waits_and_what_commands_queue_trains_though_no_page_is_open(tmp_path, shared_data):
    store = RunStore(tmp_path / "runs")
    waiting = store.create(settings(), "quick")
    RunQueue(store.root).add(waiting.id)
    environment = {"EXPERTNET_RUNS": str(store.root), "EXPERTNET_DATA": str(shared_data)}
    with running_server(serve, tmp_path / "server.log", environment=environment):
        until(lambda: waiting.state == "finished")
        later = store.create(settings(seed=1), "quick")
        RunQueue(store.root).add(later.id)
        sweep = started(store, budget=Budget(trials=1), settings=settings())
        until(lambda: later.state == "finished" and sweep.written_status().state == "finished")
    assert [run.state for run in store.list()] == ["finished"] * 3
