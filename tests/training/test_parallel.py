"""One run in several processes: it learns what one process learns, and ends with all of its processes.

The module is long because every way of ending a training is tried on several processes too.
"""

import os
import shutil
import subprocess
import sys
import threading

import psutil
import pytest
import torch
from filelock import Timeout

from expertnet.errors import SettingsError
from expertnet.settings.fields import settings_from_dict
from expertnet.store.queue import RunQueue
from expertnet.training.lock import train_in_turn
from expertnet.training.parallel import Group
from expertnet.training.place import Place
from expertnet.training.start import check_can_start, prepare_resume
from expertnet.training.stop import Stop, stop_run
from expertnet.utils.files import file_lock
from tests.support.command import PROGRAM, TRAIN_TINY
from tests.support.served import ROOT
from tests.support.small import LIMIT, can_resume, settings, until

# Everything that draws numbers, and everything that keeps a state. A smooth activation, because a ReLU turns the rounding of a value
# near zero into another gradient.
RECIPE = {
    "model.num_blocks": 2,
    "model.activation": "silu",
    "data.cutmix": 1.0,
    "data.cutout": 2,
    "training.epochs": 2,
    "training.batch_size": 60,
    "training.optimizer": "sgd",
    "training.lr": 0.01,
    "training.expert_dropout": 0.2,
    "training.ema": 0.9,
    "training.gradient_clip": 1.0,
}
HARDEST = RECIPE | {"data.cutmix": 0.0, "training.hardest_share": 0.5}
ENDLESS = {"training.epochs": 10_000, "hardware.processes": 2}


def begun(store, **overrides):
    return store.create(settings(**overrides))


def train(run):
    """Train a run in this process's turn, and return its final status."""
    RunQueue(run.path.parent).add(run.id)
    return train_in_turn(run, Stop())


def resumed(run, processes, epochs=None):
    prepare_resume(run, epochs, processes)
    return train(run)


def processes(run):
    """Return the living processes of a run, the launcher of PyTorch included."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(run.path) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            pass
    return [process for process in found if process.pid != os.getpid()]


def has_ended(process):
    return process.status() == psutil.STATUS_ZOMBIE


class Training:
    """Trains a run in a thread, and has its final status."""

    def __init__(self, run):
        self.stop, self.status = Stop(), None
        RunQueue(run.path.parent).add(run.id)
        self.thread = threading.Thread(target=self._train, args=(run,))
        self.thread.start()

    def _train(self, run):
        self.status = train_in_turn(run, self.stop)


def assert_equal(run, other):
    """Both runs have learned the same and measured the same, but for the order of sums in float32."""
    for kind in ("last", "best"):
        (mine, epoch), (theirs, other_epoch) = run.checkpoints.load(kind), other.checkpoints.load(kind)
        assert epoch == other_epoch and mine.keys() == theirs.keys()
        for name in mine:
            torch.testing.assert_close(mine[name], theirs[name], atol=1e-5, rtol=1e-5, msg=name)
    rows = list(zip(run.metrics(), other.metrics(), strict=True))
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        for row, row_of_other in rows:
            assert row[name] == pytest.approx(row_of_other[name], rel=1e-5), name
    assert run.status().test_accuracy == other.status().test_accuracy
    assert run.status().test_loss == pytest.approx(other.status().test_loss, rel=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("compile", ["auto", "on"])
def test_two_processes_learn_what_one_learns_from_the_same_steps(store, compile):
    alone = begun(store, **RECIPE)
    together = begun(store, **RECIPE, **{"hardware.processes": 2, "hardware.compile": compile})
    assert train(alone).state == "finished", alone.log_tail()
    status = train(together)
    assert status.state == "finished", together.log_tail()
    assert status.device.endswith("2 processes") and status.own_process and not processes(together)
    assert_equal(together, alone)


@pytest.mark.long
def test_a_run_resumes_with_another_number_of_processes(store):
    whole, run = begun(store, **HARDEST), begun(store, **HARDEST)
    assert train(whole).state == "finished" and resumed(whole, 1, 3).state == "finished", whole.log_tail()
    assert resumed(whole, 1, 4).state == "finished"
    assert train(run).state == "finished" and resumed(run, 2, 3).state == "finished", run.log_tail()
    assert resumed(run, 1, 4).state == "finished" and not run.status().device.endswith("processes")
    assert_equal(run, whole)


@pytest.mark.long
@pytest.mark.parametrize("optimizer", ["sgd", "muon_sgd"])
def test_two_processes_start_from_a_run_and_resume_after_its_frozen_epoch_as_one_does(store, optimizer):
    assert train(begun(store, **RECIPE, seed=1)).state == "finished"
    own = RECIPE | {"training.optimizer": optimizer, "training.epochs": 1, "training.frozen_epochs": 1}
    alone, together = (begun(store, **own, **{"model.start_from": "latest", "hardware.processes": n}) for n in (1, 2))
    for run, count in ((alone, 1), (together, 2)):
        assert train(run).state == "finished", run.log_tail()
        assert resumed(run, count, 2).state == "finished", run.log_tail()
    if (
        optimizer == "sgd"
    ):  # Muon orthogonalizes in bfloat16 where it can, which turns the order of sums into other steps
        assert_equal(together, alone)


@pytest.mark.long
@pytest.mark.parametrize("victim", ["first", "other", "launcher"])
def test_a_killed_process_ends_the_run_as_failed(store, victim):
    run = begun(store, **ENDLESS)
    training = Training(run)
    until(run.metrics)
    first = run.status().pid
    found = {
        ("first" if one.pid == first else "launcher" if one.ppid() == os.getpid() else "other"): one
        for one in processes(run)
    }
    found[victim].kill()
    training.thread.join(LIMIT)
    assert training.status.state == run.state == "failed", run.log_tail()
    assert "One of the 2 training processes ended unexpectedly" in run.status().error
    until(lambda: not processes(run))  # a killed launcher no longer waits for them
    assert can_resume(run)


@pytest.mark.long
@pytest.mark.parametrize(("way", "state"), [("ctrl-c", "stopped"), ("server", "interrupted")])
def test_a_stop_ends_all_processes(store, way, state):
    run = begun(store, **ENDLESS)
    training = Training(run)
    until(run.metrics)
    {"ctrl-c": training.stop.set, "server": training.stop.interrupt}[way]()
    training.thread.join(LIMIT)
    assert training.status.state == run.state == state and "Traceback" not in run.log_tail(), run.log_tail()
    assert not processes(run) and can_resume(run) and not RunQueue(store.root).training


@pytest.mark.long
def test_a_stop_on_a_page_that_discards_leaves_nothing(store):
    run = begun(store, **ENDLESS)
    training = Training(run)
    until(run.metrics)
    stop_run(run, discard=True)
    training.thread.join(LIMIT)
    assert training.status.state == "stopped" and not run.path.exists() and not processes(run)


@pytest.mark.long
def test_processes_end_when_the_command_that_started_them_is_killed(store):
    run = begun(store, **ENDLESS)
    run.leave_queue("stopped")
    command = [*PROGRAM, "train", "--runs-dir", str(store.root), "--resume", run.id]
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(run.metrics, started)
        assert len(processes(run)) == 3  # two and the launcher
    finally:
        started.kill()
        started.wait()
    until(lambda: not processes(run))
    assert run.state == "interrupted" and can_resume(run)


@pytest.fixture
def hosts():
    """Two network namespaces, as computers that reach one another; the names of both and their addresses."""
    if not shutil.which("ip"):
        pytest.skip("the program ip is missing")
    names = [f"expertnet-{os.getpid()}-{number}" for number in (1, 2)]
    ends = [f"en{os.getpid()}-{number}" for number in (1, 2)]
    lines = [f"netns add {name}" for name in names] + [f"link add {ends[0]} type veth peer name {ends[1]}"]
    for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
        inside = f"netns exec {name} ip"
        lines += [f"link set {end} netns {name}", f"{inside} addr add 10.77.0.{number}/24 dev {end}"]
        lines += [f"{inside} link set {end} up", f"{inside} link set lo up"]
    try:
        for line in lines:
            try:
                subprocess.run(["ip", *line.split()], check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                pytest.skip("this user may not make network namespaces")
        yield [(name, end, f"10.77.0.{number}") for number, (name, end) in enumerate(zip(names, ends, strict=True), 1)]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture
def on_hosts(store, hosts):
    """What starts a tiny training of some epochs on both hosts, as a user starts it. Returns their launchers."""
    started = []

    def start(epochs):
        launcher = ["torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=1"]
        for host, (name, end, own) in enumerate(hosts):
            place = [f"--rdzv-endpoint={hosts[0][2]}:29500", f"--rdzv-conf=is_host={1 - host}", f"--local-addr={own}"]
            command = ["ip", "netns", "exec", name, sys.executable, "-m", *launcher, *place, "-m", "expertnet"]
            command += [*TRAIN_TINY, "--set", f"training.epochs={epochs}", "--runs-dir", str(store.root)]
            interface = os.environ | {"GLOO_SOCKET_IFNAME": end}
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            started.append(subprocess.Popen(command, cwd=ROOT, env=interface, text=True, **pipes))
        return started

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=LIMIT)


@pytest.mark.long
def test_two_hosts_train_one_run(store, on_hosts):
    said = [process.communicate(timeout=LIMIT) for process in on_hosts(epochs=2)]
    (run,) = store.list()
    assert run.state == "finished" and run.status().device.endswith("2 processes"), said
    assert sum("Test accuracy" in out for out, _ in said) == 1 and not processes(run)  # the first process alone prints


@pytest.mark.long
def test_a_host_that_can_no_longer_be_reached_ends_the_run_as_failed(store, hosts, on_hosts):
    first, second = on_hosts(epochs=10_000)
    until(store.list, first)
    (run,) = store.list()
    until(run.metrics, first)
    name, end, _ = hosts[1]
    subprocess.run(["ip", "netns", "exec", name, "ip", "link", "set", end, "down"], check=True)  # closes no connection
    first.wait(LIMIT)
    assert run.state == "failed" and "has not been heard of" in run.status().error and can_resume(run)
    # the other process ends too, though its launcher waits longer for what it can no longer reach, and collects it late
    until(lambda: second.poll() is not None or all(map(has_ended, psutil.Process(second.pid).children())))


@pytest.fixture
def torchrun(store):
    """A stopped run, and what starts two processes that resume it, as a user starts them."""
    run, started = begun(store, **ENDLESS), []
    run.leave_queue("stopped")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "expertnet"]
    command = [*launcher, "train", "--runs-dir", str(store.root), "--resume", run.id]

    def start():
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, cwd=ROOT, text=True, **pipes))
        return started[0]

    yield run, start
    for process in started:
        process.terminate()
        process.communicate(timeout=LIMIT)


@pytest.mark.long
def test_nobody_else_trains_what_torchrun_trains(torchrun):
    run, start = torchrun
    process, lock = start(), file_lock(run.path / "training.lock", timeout=0)
    until(run.metrics, process)
    with pytest.raises(Timeout):
        lock.acquire()
    stop_run(run)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0 and run.state == "stopped", said
    with lock:
        pass  # free again


@pytest.mark.long
def test_torchrun_does_not_train_what_another_process_trains(torchrun):
    run, start = torchrun
    with file_lock(run.path / "training.lock"):
        process = start()
        while not process.stderr.readline().startswith(f"Run {run.id}"):
            assert process.poll() is None
        run.write_status(run.written_status().changed(state="finished"))
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0 and run.state == "finished" and run.metrics() == [], said


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"training.batch_size": 127}, "`training.batch_size` must be a multiple of `hardware.processes` (2)"),
        ({"hardware.device": "cuda:1"}, "`hardware.device` must be auto, cpu or cuda"),
        ({"data.class_balance": "weights"}, "`data.class_balance` must be none or sampling"),
        ({"hardware.processes": 0}, "`hardware.processes` must be between 1 and 1024"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(wrong, reason):
    with pytest.raises(SettingsError) as refused:
        settings(**{"hardware.processes": 2} | wrong)
    assert reason in str(refused.value)


def test_old_settings_train_in_one_process():
    assert settings_from_dict({"hardware": {"device": "cpu"}}).hardware.processes == 1


def test_each_process_needs_a_gpu_where_there_are_gpus(store, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    four = {"hardware.processes": 4, "training.batch_size": 64}
    check_can_start(settings(**four), store)  # on the CPU
    with pytest.raises(SettingsError, match="must be at most 2, the number of GPUs of this computer"):
        check_can_start(settings(**four | {"hardware.device": "auto"}), store)
    run = begun(store)
    run.leave_queue("stopped")
    with pytest.raises(SettingsError, match="`training.batch_size` must be a multiple"):
        prepare_resume(run, processes="7")
    assert run.settings().hardware.processes == 1


def test_processes_share_threads_and_gpus_with_other_runs(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    chosen = settings(**{"hardware.processes": 2, "hardware.device": "auto"})
    places = [Place(first, 4).divided(process, 2) for first in (0, 2) for process in range(2)]
    assert [place.threads for place in places] == [2] * 4
    assert [place.chosen(chosen).hardware.device for place in places] == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]


def test_processes_divide_every_step_and_every_evaluation_without_overlap():
    step, parts = torch.arange(12), list(range(7))
    groups = [Group(number, 3) for number in range(3)]
    assert torch.equal(torch.cat([group.share(step) for group in groups]), step)
    assert len({len(group.share(step)) for group in groups}) == 1
    assert sorted(part for group in groups for part in group.deal(parts)) == parts
