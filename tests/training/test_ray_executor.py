"""What a queue on a Ray cluster says and offers, tried without Ray."""

import socket
import subprocess
import sys
from contextlib import closing

import pytest
import torch

from expertnet.errors import UserError
from expertnet.training import ray_executor
from expertnet.training.local import LocalExecutor
from expertnet.training.manager import Manager
from expertnet.training.ray_executor import RayExecutor, amount, check_ray, checked_needs
from expertnet.training.start import check_can_start
from tests.support.served import free_port
from tests.support.small import settings, until


def helper_says(monkeypatch, code):
    """Let a program tell what the helper that talks to Ray would, and then wait for its end."""
    command = [sys.executable, "-c", f"import signal, sys; {code}; sys.stdout.flush(); signal.pause()"]
    monkeypatch.setattr(
        ray_executor, "start_process", lambda *_, **__: subprocess.Popen(command, stdout=subprocess.PIPE)
    )


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
    for wrong in ("1.5", "-1", "0.00001", "two", "nan", "inf"):
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


@pytest.mark.skipif(torch.cuda.is_available(), reason="this computer has a GPU")
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
