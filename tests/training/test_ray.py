"""Trainings on a Ray cluster: two CPU nodes on this computer."""

import os
import socket

import psutil
import pytest

from expertnet import __version__
from expertnet.sweeps.driver import Driver
from expertnet.sweeps.engine import resume_sweep, start_sweep, stop_sweep
from expertnet.sweeps.plan import Budget
from expertnet.sweeps.trials import trials_of
from expertnet.training import ray_executor
from expertnet.training.manager import Manager
from expertnet.training.manager import manager as manager_of
from expertnet.training.ray_executor import CPUS, GPUS, RayExecutor, check_ray
from expertnet.utils.processes import Process
from tests.support.ray_faults import HEAD, NODE
from tests.support.served import free_port
from tests.support.small import LIMIT, can_resume, figures, settings, until
from tests.support.sweeps import plan

LONG = {"training.epochs": 10_000}


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=HEAD)
    made.add_node(**NODE)
    yield made
    made.shutdown()


@pytest.fixture
def on_ray(cluster, store, monkeypatch):
    """Return what makes a manager of a store whose runs get so many CPUs of the cluster."""
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    made = []

    def make(cpus, gpus=""):
        monkeypatch.setenv(CPUS, cpus)
        monkeypatch.setenv(GPUS, gpus)
        made.append(Manager(store, RayExecutor(store.root)))
        return made[-1]

    yield make
    for each in made:
        print(each.executor.room, *map(each.executor.status, store.list()), sep="\n")
        each.close()


def raylet(node):
    return node.all_processes["raylet"][0].process.pid


@pytest.mark.long
@pytest.mark.filterwarnings("default")
def test_runs_train_on_two_nodes_one_is_stopped_and_one_survives_its_node(cluster, on_ray, store):
    check_ray(cluster.address)
    manager = on_ray("1")
    one, two = manager.submit(settings(**LONG)), manager.submit(settings(**LONG))
    until(lambda: one.metrics() and two.metrics())
    third, status = manager.submit(settings()), manager.executor.status
    assert {run.id for run in manager.training()} == {one.id, two.id} and third.state == "queued"
    assert status(one) == f"Trains on {socket.gethostname()}: CPU, 1 thread."
    until(lambda: "Waits for 1 CPU: 0 of 2 CPUs are free." in status(third))
    assert manager.executor.room.startswith("Ray has room for 2 runs of 1 CPU at once, on 2 nodes.")
    assert manager.executor.slots == 2

    (node,) = cluster.worker_nodes
    here, there = sorted((one, two), key=lambda run: psutil.Process(run.status().pid).ppid() == raylet(node))
    manager.stop(here)
    until(lambda: here.state == "stopped" and third.state == "finished")
    assert can_resume(here) and there.state == "running"

    dead = there.status().pid
    cluster.remove_node(node, allow_graceful=False)
    until(lambda: "Resumed after epoch" in there.log_tail())
    assert there.log_tail().count("Ray starts the run again") == 1 and there.status().pid != dead
    epochs = len(there.metrics())
    until(lambda: len(there.metrics()) > epochs)
    manager.close()
    assert there.state == "interrupted" and can_resume(there) and "Interrupted" in there.log_tail()
    assert figures(there)[-1]["epoch"] == len(there.metrics()) > epochs
    cluster.add_node(**NODE)


@pytest.mark.long
@pytest.mark.filterwarnings("default")
def test_runs_too_large_and_nodes_with_other_code_are_named_and_runs_share_a_gpu(cluster, on_ray, store, tmp_path):
    other = tmp_path / "other" / "expertnet"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "0.0.1"\n')
    manager = on_ray("3")
    run = manager.submit(settings())
    until(lambda: "the run needs 3 CPUs, and the largest node has 1 CPU." in manager.executor.status(run))
    node = cluster.add_node(**NODE | {"num_cpus": 3, "env_vars": {"PYTHONPATH": str(other.parent)}})
    until(lambda: "cannot train: it has ExpertNet 0.0.1" in manager.executor.status(run))
    assert f"and the studio has ExpertNet {__version__}" in manager.executor.room and run.state == "queued"
    cluster.remove_node(node)
    node = cluster.add_node(**NODE | {"num_cpus": 3, "num_gpus": 1})
    assert manager.join(run.id, LIMIT) and run.state == "finished"
    manager.close()

    manager = on_ray("1", "0.5")
    runs = [manager.submit(settings(**LONG | {"hardware.device": "auto"})) for _ in range(3)]
    until(lambda: runs[0].metrics() and runs[1].metrics())
    assert manager.executor.gpus == 1
    until(lambda: manager.executor.status(runs[2]).endswith("CPUs and 0 of 1 GPUs are free."))
    assert manager.executor.status(runs[2]).startswith("Waits for 1 CPU and 0.5 GPUs: ")
    manager.close()
    cluster.remove_node(node)


@pytest.mark.long
@pytest.mark.filterwarnings("default")
def test_a_sweep_trains_two_trials_at_once_and_each_once_although_it_is_stopped(cluster, store, monkeypatch):
    for name, value in (("EXPERTNET_EXECUTOR", "ray"), ("RAY_ADDRESS", cluster.address), (CPUS, "1"), (GPUS, "")):
        monkeypatch.setenv(name, value)
    four = plan("model.num_experts=1,2,3,4", budget=Budget(trials=9), settings=settings(**{"training.epochs": 100}))
    sweep, driver = start_sweep(store, four), Driver(store)

    def training():  # those that are not about to end
        return [run for run in store.list() if run.state == "running" and 0 < run.status().epoch < 90]

    try:
        driver.wake()
        until(lambda: len(training()) == 2)
        at_once = training()
        assert len({run.status().pid for run in at_once}) == 2
        stop_sweep(sweep)
        assert driver.join(LIMIT) and sweep.status().state == "stopped"
        assert [can_resume(run) for run in at_once] == [True, True] and len(store.list()) < 5
        resume_sweep(sweep)
        driver.wake()
        assert driver.join(LIMIT)
        assert (sweep.status().state, sweep.status().reason) == ("finished", "every combination was tried")
    finally:
        print(manager_of(store).executor.room, sweep.status(), *(run.log_tail() for run in store.list()), sep="\n")
        driver.close()
        manager_of(store).close()
    trials = trials_of(sweep)
    assert sorted(trial.values["model.num_experts"] for trial in trials) == [1, 2, 3, 4]
    assert [trial.state for trial in trials] == ["finished"] * 4 and len(store.list()) == 4
    assert all([row["epoch"] for row in run.metrics()] == list(range(1, 101)) for run in store.list())
    assert [run.log_tail(200).count("Started") for run in store.list()] == [1] * 4
    assert all("Resumed after epoch" in run.log_tail(200) for run in at_once)


@pytest.mark.long
@pytest.mark.filterwarnings("default")
def test_if_the_head_dies_the_queue_waits_for_a_new_one(store, monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "2")  # 60 by default
    monkeypatch.setattr(ray_executor, "RETRY", 0.5)
    head = HEAD | {"gcs_server_port": free_port()}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    manager = Manager(store, RayExecutor(store.root))
    one, two = manager.submit(settings(**LONG)), manager.submit(settings())
    lost, elsewhere = store.create(settings()), Process(host="another-host", pid=1, process_start=1.0)
    try:
        until(lambda: one.metrics())
        manager.queue.add(lost.id)
        manager.queue.take_for("a task", lambda run_id: run_id == lost.id)
        lost.write_status(lost.status().changed(state="running", process=elsewhere.beating()))
        cluster.remove_node(cluster.head_node, allow_graceful=False)
        until(lambda: one.state == "interrupted" and "No Ray cluster answers at" in manager.executor.room)
        assert can_resume(one) and two.state == "queued"
        cluster.add_node(**head)
        assert manager.join(two.id, LIMIT) and two.state == "finished"
        lost.write_status(lost.status().changed(state="running", process=elsewhere))  # its heartbeat has ended
        assert manager.join(timeout=LIMIT) and not manager.executor.restarts(lost) and can_resume(lost)
    finally:
        print(manager.executor.room, one.log_tail(), sep="\n")
        manager.close()
        cluster.shutdown()
