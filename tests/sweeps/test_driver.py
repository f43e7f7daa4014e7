"""The thread of a server that advances sweeps."""

import pytest

from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.sweeps import driver
from expertnet.sweeps.driver import Driver
from expertnet.sweeps.engine import advance, start_sweep, stop_sweep
from expertnet.sweeps.journal import JOURNAL
from expertnet.sweeps.plan import Budget
from expertnet.sweeps.trials import trials_of
from expertnet.training.manager import manager
from tests.support.small import LIMIT, settings, until
from tests.support.sweeps import plan, train


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path / "runs")
    yield store
    manager(store).close()


@pytest.mark.slow
def test_two_servers_train_the_trials_of_a_sweep_once(store):
    sweep = start_sweep(store, plan(budget=Budget(trials=2), settings=settings()))
    drivers = Driver(store), Driver(store)
    for each in drivers:
        each.wake()
    assert all(each.join(LIMIT) for each in drivers)
    assert [trial.state for trial in trials_of(sweep)] == ["finished"] * 2 and len(store.list()) == 2
    assert sweep.status().state == "finished" and all(trial.accuracy for trial in trials_of(sweep))


def test_the_next_trial_follows_the_end_of_one_and_not_a_tick(store, monkeypatch):
    monkeypatch.setattr(driver, "TICK", 10.0 * LIMIT)
    sweep = start_sweep(store, plan(budget=Budget(trials=2), settings=settings()))
    thread = Driver(store)
    thread.wake()
    assert thread.join(LIMIT) and sweep.status().state == "finished"


def test_a_trial_that_ends_while_its_sweep_is_advanced_is_noticed(store, monkeypatch):
    """As if another studio had trained it in the meantime."""

    def late(sweep, slots):
        runs = advance(sweep, slots)
        for run in runs:
            train(run)
        return runs

    RunQueue(store.root).pause(True)
    monkeypatch.setattr(driver, "advance", late)
    sweep = start_sweep(store, plan(budget=Budget(trials=2)))
    thread = Driver(store)
    thread.wake()
    ended = thread.join(LIMIT)
    thread.close()
    assert ended and sweep.status().state == "finished" and len(store.list()) == 2


def test_more_trials_are_queued_as_soon_as_more_may_train_at_once(store):
    queue = RunQueue(store.root)
    queue.pause(True)  # so that no epoch and no end brings the driver to the sweep
    sweep = start_sweep(store, plan(budget=Budget(trials=5), settings=settings()))
    thread = Driver(store)
    thread.wake()
    until(lambda: len(queue.ids()) == 1)
    queue.set_limit(3)
    until(lambda: len(queue.ids()) == 3)
    stop_sweep(sweep)
    assert thread.join(LIMIT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_an_error_ended_is_replaced(store, monkeypatch):
    sweep = start_sweep(store, plan(budget=Budget(trials=1), settings=settings()))
    thread = Driver(store)
    with monkeypatch.context() as broken:
        broken.setattr(RunQueue, "limit", property(lambda queue: 1 / 0))
        thread.wake()
        assert thread.join(LIMIT)
    assert sweep.active
    thread.wake()
    assert thread.join(LIMIT) and sweep.status().state == "finished"


def test_a_sweep_that_cannot_go_on_fails_with_its_reason_and_the_thread_ends(store):
    sweep = start_sweep(store, plan())
    (sweep.path / JOURNAL).write_text("{}\n[1]\n")
    thread = Driver(store)
    thread.wake()
    assert thread.join(LIMIT)
    assert sweep.status().state == "failed" and "journal.log" in sweep.status().reason


def test_a_server_that_ends_leaves_its_sweep_to_the_next(store):
    sweep = start_sweep(store, plan(budget=Budget(trials=1), settings=settings()))
    first = Driver(store)
    first.close()
    first.wake()
    assert first.join(LIMIT) and sweep.active
    second = Driver(store)
    second.wake()
    assert second.join(LIMIT) and sweep.status().state == "finished"


@pytest.mark.long
def test_two_servers_with_two_trainings_at_once_train_no_trial_twice(store):
    RunQueue(store.root).set_limit(2)
    long = settings(**{"training.epochs": 5000})
    sweep = start_sweep(store, plan("model.num_experts=1,2,3", budget=Budget(trials=9), settings=long))
    drivers = Driver(store), Driver(store)
    for each in drivers:
        each.wake()

    def training():
        return [run for run in store.list() if run.state == "running" and run.metrics()]

    until(lambda: len(training()) == 2)
    assert len({run.status().pid for run in training()}) == 2
    manager(store).stop(training()[0])
    until(lambda: len(store.list()) == 3 and len(training()) == 2)
    stop_sweep(sweep)
    assert all(each.join(LIMIT) for each in drivers) and sweep.status().state == "stopped"
    assert sorted(trial.values["model.num_experts"] for trial in trials_of(sweep)) == [1, 2, 3]
    assert [run.log_tail().count("Started") for run in store.list()] == [1] * 3
