"""What a training survives: being stopped or killed and going on to the same bits, clocks, folders and disks that fail."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from expertnet.errors import DatasetError
from expertnet.settings.fields import build_settings
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.steps import read_steps
from expertnet.training import updater
from expertnet.training.manager import Manager
from expertnet.training.runner import run_training
from expertnet.training.start import prepare_resume
from expertnet.training.status_writer import StatusWriter
from expertnet.training.stop import Stop
from expertnet.utils.processes import process_facts, this_process
from tests.support.small import LIMIT, TINY, figures, settings, until

ROOT = Path(__file__).parents[2]
EPOCHS = {"training.epochs": 3}


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        {"training.optimizer": "adamw", "training.ema": 0.9},
        {"training.optimizer": "sgd", "training.lr": 0.01, "data.mixup": 0.4, "data.cutmix": 0.5},
        {
            "training.optimizer": "muon",
            "training.lr": 0.01,
            "training.temperature": 10,
            "training.router_lr_share": 0.5,
        },
        {
            "hardware.precision": "bf16",
            "training.schedule": "one_cycle",
            "data.cutout": 2,
            "data.alternating_flip": True,
        },
    ],
    ids=["adamw, averaged", "sgd, mixed", "muon, annealed", "bf16, one cycle"],
)
def test_going_on_from_resume_pt_alone_ends_with_the_bits_of_a_run_left_alone(store, overrides):
    whole, broken = (store.create(settings(**EPOCHS, **overrides)) for _ in range(2))
    assert run_training(whole, Stop()).state == "finished", whole.log_tail()
    stop = Stop()
    run_training(broken, stop, on_progress=lambda status: status.epoch == 1 and status.step == 2 and stop.set())
    assert broken.state == "stopped"
    for path in broken.path.iterdir():
        if path.name not in ("config.json", "status.json", "resume.pt"):
            path.unlink()
    prepare_resume(broken)
    assert run_training(broken, Stop()).state == "finished", broken.log_tail()
    assert figures(broken) == figures(whole)
    for kind in ("best", "last"):
        assert broken.checkpoints.path(kind).read_bytes() == whole.checkpoints.path(kind).read_bytes()
    ours, theirs = broken.checkpoints.load_resume(), whole.checkpoints.load_resume()
    assert torch.equal(ours["generator"], theirs["generator"]) and ours["random"] == theirs["random"]
    assert broken.status().test_loss == whole.status().test_loss


@pytest.mark.long
def test_killed_trainings_and_full_disks():
    """A small sample, in a process with one thread because it forks; `python -m benchmarks.faults` tries more."""
    code = "import json; from tests.support.faults import break_trainings; print(json.dumps(break_trainings(3, 2, seed=1)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    problems = json.loads(done.stdout.splitlines()[-1])
    assert problems["killed at random instants"] == problems["killed at each of the first writes"] == [""] * 3
    assert problems["full disks"] in ([""] * 2, [])  # empty if this user may not mount a disk


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (lambda: None, "nan", "Lower `training.lr`"),
        (lambda: torch.OutOfMemoryError("CUDA out of memory"), "memory", "ran out of memory"),
        (lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory", "ran out of memory"),
    ],
    ids=["nan", "gpu memory", "memory"],
)
def test_a_step_that_fails_ends_its_run_and_the_next_one_trains(store, monkeypatch, error, kind, says):
    augment, step, epochs = updater.augment, updater.Updater.step, []

    def noted(self, chosen, epoch, done):
        epochs.append(epoch)
        return step(self, chosen, epoch, done)

    def fail_once(*given):
        images = augment(*given)
        if (epochs[-1], epochs.count(2)) != (2, 2):  # the second step of epoch 2, in the first run
            return images
        if error() is not None:
            raise error()
        return images * float("nan")

    monkeypatch.setattr(updater, "augment", fail_once)
    monkeypatch.setattr(updater.Updater, "step", noted)
    manager = Manager(store)
    failed, after = manager.submit(settings(**EPOCHS)), manager.submit(settings(**EPOCHS))
    assert manager.join(timeout=LIMIT)
    status = failed.status()
    assert (status.state, status.error_kind, status.epoch) == ("failed", kind, 1) and says in status.error
    assert after.state == "finished"
    manager.resume(failed)
    assert manager.join(timeout=LIMIT) and failed.state == "finished" and figures(failed) == figures(after)
    manager.close()


def test_a_clock_that_is_set_back_does_not_silence_the_status(store, monkeypatch):
    run = store.create(settings(**EPOCHS))
    with StatusWriter(run, Stop()) as writer:
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now - 86_400)
        writer.update(epoch=7)
        until(lambda: run.status().epoch == 7)
        assert run.status().heartbeat < now


def test_a_data_folder_that_vanishes_is_only_missed_if_its_images_are_not_cached(store, tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    images = tmp_path / "images"
    for label in "ab":
        (images / label).mkdir(parents=True)
        for number in range(12):
            image = torch.randint(0, 255, (8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(number))
            Image.fromarray(image.numpy()).save(images / label / f"{number}.png")
    run = store.create(build_settings("quick", str(images), TINY | EPOCHS))

    def vanish(status):
        if status.epoch == 1 and images.exists():
            shutil.rmtree(images)

    assert run_training(run, Stop(), on_progress=vanish).state == "finished", run.log_tail()
    prepare_resume(run, epochs=4)
    assert run_training(run, Stop()).state == "finished", run.log_tail()
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(DatasetError, match=re.escape(str(images))):
        prepare_resume(run, epochs=5)
    assert run.state == "finished" and run.settings().training.epochs == 4


@pytest.mark.slow
def test_a_training_that_cannot_write_its_folder_ends_and_the_manager_lives(store):
    manager = Manager(store)
    lost = manager.submit(settings(**{"training.epochs": 500}))
    until(lost.metrics)
    lost.path.rename(store.root / "away")  # as when a disk is pulled
    after = manager.submit(settings(**EPOCHS))
    assert manager.join(timeout=LIMIT) and after.state == "finished"
    manager.close()


def test_a_training_goes_on_without_its_curve_by_step_if_that_cannot_be_written(store):
    run = store.create(settings())
    (run.path / "steps.jsonl").mkdir()  # fails as a full disk does
    assert run_training(run, Stop()).state == "finished" and not read_steps(run.path)


@pytest.mark.slow
def test_a_resumed_training_continues_the_curve_by_step_of_its_completed_epochs(store):
    run, stop = store.create(settings(**EPOCHS)), Stop()
    run_training(run, stop, on_progress=lambda status: status.epoch == 1 and status.step == 2 and stop.set())
    assert 1 < read_steps(run.path)[-1].epoch < 2
    before = [point for point in read_steps(run.path) if point.epoch <= 1]
    prepare_resume(run)
    run_training(run, Stop())
    points = read_steps(run.path)
    assert list(points[: len(before)]) == before and len(points) == 3 * len(before)
    by_epoch = [sum(point.loss for point in points[at : at + len(before)]) / len(before) for at in (0, len(before))]
    assert by_epoch == pytest.approx([row["train_loss"] for row in run.metrics()[:2]])


def test_a_training_deletes_what_a_killed_one_left_in_its_folder(store):
    run, now = store.create(settings()), time.time()
    old, new = (run.path / f".resume.pt.{name}.tmp" for name in ("old", "new"))
    for path, hours in ((old, 25), (new, 23)):
        path.write_bytes(b"half")
        os.utime(path, (now - hours * 3600,) * 2)
    assert run_training(run, Stop()).state == "finished"
    assert not old.exists() and new.exists()  # another process may be writing it


def test_a_run_of_a_process_that_was_killed_and_not_waited_for_is_interrupted(store):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run = store.create(settings(**EPOCHS))
    run.write_status(run.status().changed(process=process_facts(child.pid), state="running"))
    assert run.state == "running"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and a zombie still
    assert run.state == "interrupted"
    child.communicate()
    assert Run(run.path).status().host == this_process().host
