"""The loop of a command that trains the trials of a sweep."""

import time

import pytest

from expertnet.sweeps import search
from expertnet.sweeps.engine import advance, start_sweep
from expertnet.sweeps.plan import Budget
from expertnet.sweeps.trials import trials_of
from expertnet.training.stop import Stop
from expertnet.utils import processes
from expertnet.utils.processes import this_process
from tests.support.hosts import on_another_host
from tests.support.small import settings, until
from tests.support.sweeps import plan

STATE = (
    "import sys; from expertnet.store.run_store import RunStore; from expertnet.sweeps.sweep import find_sweep\n"
    "print(find_sweep(RunStore(sys.argv[1]), 'latest').status().state)"
)


def one_trial(epochs=1):
    return plan(budget=Budget(trials=1), settings=settings(**{"training.epochs": epochs}))


def test_a_trial_is_judged_after_every_epoch_but_the_last(store, monkeypatch):
    seen, ended = [], []

    def advanced(sweep):
        seen.append([len(run.metrics()) for run in store.list()])
        return advance(sweep)

    monkeypatch.setattr(search, "advance", advanced)
    sweep = start_sweep(store, one_trial(epochs=3), this_process().beating())
    search.search(sweep, Stop(), on_end=ended.append)
    assert seen == [[], [1], [2], [3]]  # the start, two epochs, and the end
    assert [status.state for status in ended] == ["finished"] == [trial.state for trial in trials_of(sweep)]
    assert sweep.status().state == "finished"


@pytest.mark.slow
def test_a_sweep_that_a_command_trains_for_longer_is_alive_on_other_hosts(store, monkeypatch):
    monkeypatch.setattr(processes, "RENEW_AFTER", 0.01)
    old = this_process().model_copy(update={"heartbeat": time.time() - 100})
    sweep, stop, states = start_sweep(store, one_trial(), old), Stop(), []

    def look(run):
        until(lambda: sweep.written_status().owner.is_fresh)
        states.extend(on_another_host(STATE, store.root))
        stop.interrupt()

    assert on_another_host(STATE, store.root) == ["interrupted"]
    search.search(sweep, stop, on_trial=look)
    assert states == ["running"]


def test_only_the_owner_renews_its_heartbeat(store):
    other = this_process().model_copy(update={"pid": 2**22 + 1, "heartbeat": 1.0})
    sweep = start_sweep(store, one_trial(), other)
    sweep.renew()
    assert sweep.written_status().owner == other
