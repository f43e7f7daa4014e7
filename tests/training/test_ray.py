"""Trainings on a Ray cluster: two CPU nodes on this computer. The sentences and a node's part are tried without Ray."""

import os
import socket
import subprocess
import sys
from contextlib import closing

import psutil
import pytest
import torch

from expertnet import __version__
from expertnet.errors import RunError, UserError
from expertnet.store.queue import RunQueue
from expertnet.training import ray_executor
from expertnet.training.local import LocalExecutor
from expertnet.training.lock import train_in_turn
from expertnet.training.manager import Manager
from expertnet.training.place import Place
from expertnet.training.ray_executor import CPUS, GPUS, RayExecutor, amount, check_ray, checked_needs
from expertnet.training.ray_node import needed, train_for_task
from expertnet.training.runner import run_training
from expertnet.training.start import check_can_start, prepare_resume
from expertnet.training.stop import Stop, stop_run
from expertnet.utils.processes import process_facts, this_process
from tests.support.ray_faults import HEAD, NODE
from tests.support.served import free_port
from tests.support.small import LIMIT, can_resume, figures, settings, until

LONG = {"training.epochs": 10_000}
DEAD = this_process().model_copy(update={"pid": 2**22 + 1})
USUAL = (1.0, 0.5)
ENDS_LATE = """
import json, sys, time
from pathlib import Path
run = Path(sys.argv[1])
while not (run / "training.lock").exists():
    time.sleep(0.05)
time.sleep(0.3)  # in which the next attempt must not begin
status = json.loads((run / "status.json").read_text())
(run / "status.json").write_text(json.dumps(status | {"state": "interrupted"}))
with (run / "log.txt").open("a") as log:
    log.write("2026-01-01T00:00:00+00:00  the first attempt ends\\n")
"""


needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this computer has a GPU")


def helper_says(monkeypatch, code):
    """Let a program tell what the helper that talks to Ray would, and then wait for its end."""
    command = [sys.executable, "-c", f"import signal, sys; {code}; sys.stdout.flush(); signal.pause()"]
    monkeypatch.setattr(
        ray_executor, "start_process", lambda *_, **__: subprocess.Popen(command, stdout=subprocess.PIPE)
    )


# --- sentences -------------------------------------------------------------------------------------------------------


def test_without_ray_or_a_cluster_one_sentence_says_what_to_do(monkeypatch):
    port = free_port()
    with pytest.raises(
        UserError, match=rf"No Ray cluster answers at 127.0.0.1:{port} \(Connection refused\).*ray start"
    ):
        check_ray(f"127.0.0.1:{port}")
    for wrong in ("", "6379", "ray://10.0.0.5:10001", "head:port"):
        with pytest.raises(UserError, match="RAY_ADDRESS must be HOST:PORT"):
            check_ray(wrong)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        check_ray(f"127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setattr(ray_executor, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="Run '.* -m pip install ray'"):
        check_ray("127.0.0.1:6379")


def test_what_a_run_gets_is_a_whole_number_or_a_share():
    assert checked_needs("", "") == ("1", "")
    for cpus, gpus in (("4", "0.5"), ("0.25", "0"), ("1", "2")):
        assert checked_needs(cpus, gpus) == (cpus, gpus)
    for wrong in ("1.5", "-1", "two", "nan", "inf"):
        with pytest.raises(UserError, match=f"The CPUs of each run must be .*“{wrong}”"):
            checked_needs(wrong, "")
        with pytest.raises(UserError, match=f"The GPUs of each run must be .*“{wrong}”"):
            checked_needs("", wrong)
    assert [amount(1, 0), amount(0.5, 2), amount(8, 1)] == ["1 CPU", "0.5 CPUs and 2 GPUs", "8 CPUs and 1 GPU"]


def test_without_a_cluster_the_queue_says_so_and_runs_can_be_stopped(store, monkeypatch):
    port = free_port()
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    manager = Manager(store, RayExecutor(store.root))
    run, status, says = (
        manager.submit(settings()),
        manager.executor.status,
        f"No Ray cluster answers at 127.0.0.1:{port}",
    )
    until(lambda: status(run).startswith(says))
    assert manager.executor.room.startswith(says) and manager.executor.slots == 1 and run.state == "queued"
    manager.pause(True)
    assert status(run) == "Waits because the queue is paused."
    manager.stop(run)
    assert run.state == "stopped" and status(run) == "" and manager.join()
    manager.close()


def test_a_line_of_the_helper_that_broke_off_is_skipped(store, monkeypatch):
    helper_says(monkeypatch, """print('{"slots":'); print('{"problem": "The cluster is gone."}')""")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        manager = Manager(store, RayExecutor(store.root))
        manager.submit(settings())
        until(lambda: manager.executor.room == "The cluster is gone.")
        manager.close()


def test_the_gpus_of_this_computer_do_not_limit_a_run_on_a_cluster(store, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    wide = settings(**{"hardware.processes": 4, "training.batch_size": 64, "hardware.device": "auto"})
    with pytest.raises(UserError, match="must be at most 2"):
        check_can_start(wide, store)
    monkeypatch.setenv("EXPERTNET_EXECUTOR", "ray")
    check_can_start(wide, store)


@needs_no_gpu
def test_neither_do_its_devices_and_its_memory(store, monkeypatch):
    large = {"model.channels": 512, "data.image_size": 96, "training.batch_size": 16384}
    for changed, says in (
        ({"hardware.device": "cuda"}, "this computer has no such device"),
        (large | {"hardware.device": "auto"}, "GiB of memory, but only"),
    ):
        with pytest.raises(UserError, match=says):
            check_can_start(settings(**changed), store)
        with monkeypatch.context() as context:
            context.setenv("EXPERTNET_EXECUTOR", "ray")
            check_can_start(settings(**changed), store)


def test_a_cluster_offers_the_gpus_of_its_largest_node_and_none_by_number(store, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert LocalExecutor(store.root).gpus == 2 and "cuda:1" in LocalExecutor(store.root).devices
    executor = RayExecutor(store.root)
    assert executor.gpus == 0 and executor.devices == ("auto", "cpu", "cuda")
    helper_says(monkeypatch, """print('{"gpus": 4}')""")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        manager = Manager(store, executor)
        manager.submit(settings())
        until(lambda: executor.gpus == 4)
        manager.close()


# --- a node's part ---------------------------------------------------------------------------------------------------


def test_a_task_takes_the_first_run_that_it_has_room_for(store):
    queue, runs = (
        RunQueue(store.root),
        [store.create(settings()), store.create(settings(**{"hardware.device": "auto"}))],
    )
    assert [needed(run, USUAL) for run in runs] == [(1.0, 0.0), USUAL]
    for run in runs:
        queue.add(run.id)
    queue.add("of a command", this_process().beating())
    assert queue.take_for("task 1", lambda run: run == runs[1].id) == runs[1].id
    assert queue.tasks == {"task 1": runs[1].id} and queue.training == [runs[1].id]
    queue.pause(True)
    assert queue.take_for("task 2", lambda run: True) is None
    assert queue.take_for("task 1", lambda run: False) == runs[1].id  # its node died
    queue.pause(False)
    assert queue.take_for("task 2", lambda run: True) == runs[0].id
    assert queue.take_for("task 3", lambda run: True) is None and queue.ids() == ["of a command"]


@pytest.mark.slow
def test_a_task_whose_node_died_resumes_its_run_to_the_same_bits(store):
    whole, cut = (store.create(settings(**{"training.epochs": 2})) for _ in range(2))
    queue, stop = RunQueue(store.root), Stop()
    queue.add(whole.id)
    train_for_task(store.root, "the first", USUAL, (1.0, 0.0))
    assert whole.state == "finished" and queue.tasks == {} and queue.ids() == []
    run_training(cut, stop, place=Place(cpus=1), on_progress=lambda status: status.epoch == 1 and stop.set())
    cut.write_status(cut.status().changed(state="running", process=DEAD))  # as a node leaves it that dies
    queue.add(cut.id)
    assert queue.take_for("task", lambda run: True) == cut.id and cut.state == "interrupted"
    train_for_task(store.root, "task", USUAL, (1.0, 0.0))
    assert cut.state == "finished" and figures(cut) == figures(whole)
    assert "Ray starts the run again" in cut.log_tail() and "Resumed after epoch 1" in cut.log_tail()
    assert queue.tasks == {}


@needs_no_gpu
@pytest.mark.parametrize("processes", [1, 2])
def test_a_node_without_the_device_of_a_run_says_so(store, processes):
    run, queue = (
        store.create(settings(**{"hardware.device": "cuda", "hardware.processes": processes})),
        RunQueue(store.root),
    )
    queue.add(run.id)
    train_for_task(store.root, "task", (1.0, 0.0), (float(processes), 0.0))
    assert run.state == "failed" and "this computer has no such device" in run.status().error
    assert queue.tasks == {} and queue.ids() == []


def test_a_command_that_resumes_a_run_takes_it_from_ray(store):
    run, queue = store.create(settings()), RunQueue(store.root)
    queue.add(run.id)
    queue.take_for("task", lambda run: True)
    run.write_status(run.status().changed(state="running", process=DEAD))
    prepare_resume(run)
    queue.add(run.id, this_process().beating())
    train_for_task(store.root, "task", USUAL, (1.0, 0.0))  # of which Ray is not told
    assert run.state == "queued" and queue.ids() == [run.id] and queue.tasks == {}
    assert train_in_turn(run, Stop()).state == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("host", [None, "another-host"])
def test_a_task_waits_until_the_processes_of_its_first_attempt_have_ended(store, host):
    run, queue = store.create(settings()), RunQueue(store.root)
    queue.add(run.id)
    queue.take_for("task", lambda run: True)
    waited = [sys.executable, "-c", ENDS_LATE, str(run.path)]
    with subprocess.Popen(waited, stderr=subprocess.PIPE, text=True) as first:
        facts = process_facts(first.pid).beating()
        process = facts.model_copy(update={"host": host or facts.host})
        run.write_status(run.status().changed(state="running", process=process))
        train_for_task(store.root, "task", USUAL, (1.0, 0.0))
    log = run.log_tail()
    assert first.returncode == 0 and run.state == "finished"
    assert 0 <= log.find("the first attempt ends") < log.find("Ray starts the run again")


def test_a_run_that_ray_would_start_again_can_be_stopped(store):
    run, queue = store.create(settings(**LONG)), RunQueue(store.root)
    queue.add(run.id)
    queue.take_for("task", lambda run: True)
    run.write_status(run.status().changed(state="running", activity="Training", process=DEAD))
    assert run.state == "interrupted"
    stop_run(run)
    assert run.state == "stopped" and run.status().activity == "" and queue.tasks == {}
    train_for_task(store.root, "task", USUAL, (1.0, 0.0))
    assert run.state == "stopped" and run.metrics() == []
    with pytest.raises(RunError, match="is not training: it is stopped"):
        stop_run(run)


# --- a cluster -------------------------------------------------------------------------------------------------------


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
    for manager in made:
        print(manager.executor.room, *map(manager.executor.status, store.list()), sep="\n")
        manager.close()


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
    try:
        until(lambda: one.metrics())
        cluster.remove_node(cluster.head_node, allow_graceful=False)
        until(lambda: one.state == "interrupted" and "No Ray cluster answers at" in manager.executor.room)
        assert can_resume(one) and two.state == "queued"
        cluster.add_node(**head)
        assert manager.join(two.id, LIMIT) and two.state == "finished"
    finally:
        print(manager.executor.room, one.log_tail(), sep="\n")
        manager.close()
        cluster.shutdown()
