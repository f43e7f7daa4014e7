"""`expertnet train`: documents, progress, signals and resuming."""

import json
import os
import signal
import subprocess

import pytest
import torch.nn.functional as F
from PIL import Image

from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from tests.support.command import PROGRAM, TINY_OPTIONS, TRAIN_TINY, command, document, process, refused
from tests.support.served import ROOT


def test_the_document(trained):
    assert list(trained.document) == [
        "run",
        "state",
        "epochs",
        "val_accuracy",
        "best_val_accuracy",
        "test_accuracy",
        "test_accuracy_mirrored",
        "test_accuracy_views",
        "images_per_second",
        "seconds",
        "device",
    ]
    assert trained.document["state"] == "finished" and trained.document["epochs"] == 2
    assert trained.document["test_accuracy"] is not None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "training.lr=-1"], "training.lr"),
        (["--preset", "best"], "Choose one of"),
        (["--preset", "qick"], "Did you mean quick?"),
        (["--preset", ""], "There is no preset ''"),
        (["--dataset", "cifar-10"], "Did you mean cifar10?"),
        (["--dataset", "no/such/folder"], "no/such/folder"),
        (["--set", "learning.lr=1"], "Did you mean training.lr?"),
        (["--set", "no.such=1"], "expertnet settings"),
        (["--set", "model.start_from=2000"], "`model.start_from` cannot be used. There is no run '2000'"),
        (["--set", "model.start_from=a b"], "must be the ID of a trained run with the same network"),
        (["--resume", "latest", "--set", "training.lr=1"], "training.epochs"),
        (["--resume", "latest", "--preset", "quick"], "training.epochs"),
    ],
)
def test_invalid_settings_are_rejected(trained, words, says):
    assert says in refused(command("train", *words, **trained.env))


@pytest.mark.slow
def test_a_process_ends_with_the_message_and_the_status(trained):
    assert "training.lr" in refused(process("train", "--set", "training.lr=-1", **trained.env))


def test_too_few_images_leave_no_run_behind(trained, tmp_path):
    env = trained.env | {"EXPERTNET_RUNS": str(tmp_path / "runs")}
    for name in ("green", "red"):
        (tmp_path / "own" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), name).save(tmp_path / "own" / name / "1.png")
    assert "too few to hold out" in refused(command("train", "--dataset", tmp_path / "own", *TINY_OPTIONS, **env))
    assert RunStore(tmp_path / "runs").list() == []


@pytest.mark.slow
def test_resuming_prints_completed_epochs_only(trained, tmp_path):
    env = trained.env | {"EXPERTNET_RUNS": str(tmp_path)}
    done = command(*TRAIN_TINY, "--set", "training.epochs=1", **env)
    assert done.stdout.startswith("Finished after 1 epoch\n")
    done = command("train", "--resume", "latest", "--set", "training.epochs=2", **env)
    resuming, epoch = (line for line in done.stderr.splitlines() if "epoch " in line.lower())
    assert resuming == "Resuming after epoch 1" and epoch.startswith("Epoch 2/2 ")
    assert " 2 epochs " in command("runs", **env).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "ends"),
    [
        ("training.epochs=1", "Train longer. Use 'expertnet train --resume {} --set training.epochs=150'."),
        (
            "training.max_minutes=0.0001",
            "Train longer. Start a new run with a higher `training.max_minutes` or `training.patience`, which ended "
            "this one.",
        ),
    ],
)
def test_a_run_that_barely_learned_says_how_to_train_it_longer(trained, tmp_path, limit, ends):
    env = trained.env | {"EXPERTNET_RUNS": str(tmp_path)}
    done = command(*TRAIN_TINY, "--set", "training.batch_size=512", "--set", limit, **env)
    (run,) = RunStore(tmp_path).list()
    advice = done.stderr.splitlines()[-1]
    assert advice.startswith("Barely learned: ") and advice.endswith(f"after 2 steps in all. {ends.format(run.id)}")


@pytest.mark.parametrize("epochs", [0, 4])
def test_a_stopped_run_says_how_to_resume_it(trained, tmp_path, monkeypatch, epochs):
    def stopped(run, stop, **_):
        if epochs:
            (run.path / "resume.pt").touch()
        run.write_status(Status(state="stopped", epoch=epochs))
        RunQueue(run.path.parent).remove(run.id)
        return run.status()

    monkeypatch.setattr("expertnet.training.lock.train_in_turn", stopped)
    done = command(*TRAIN_TINY, "--runs-dir", tmp_path, **trained.env)
    assert done.returncode == 0 and done.stdout == f"Stopped after {epochs} epochs\n"
    first, last = done.stderr.splitlines()
    resumes = f"'expertnet train --resume {first.removeprefix('Run ')} --runs-dir {tmp_path}' resumes it."
    assert last == (resumes if epochs else "Stopped before training started. The run is in the trash.")


def signal_after_an_epoch(number, env):
    """Send a signal to a training after its first epoch. Returns its exit status and standard output."""
    with subprocess.Popen(
        [*PROGRAM, *TRAIN_TINY, "--set", "training.epochs=10000", "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | env,
    ) as started:
        for line in started.stderr:
            if line.startswith("Epoch 1/"):
                started.send_signal(number)
                break
        out, _ = started.communicate(timeout=600)
    return started.returncode, out


@pytest.mark.slow
def test_an_interrupt_keeps_completed_epochs_and_the_run_can_be_resumed(trained, tmp_path):
    env = trained.env | {"EXPERTNET_RUNS": str(tmp_path)}
    status, out = signal_after_an_epoch(signal.SIGINT, env)
    stopped = json.loads(out)
    assert status == 0 and stopped["state"] == "stopped" and 1 <= stopped["epochs"] < 10000
    run = RunStore(tmp_path).get(stopped["run"])
    epochs = len(run.metrics()) + 1
    resumed = document("train", "--resume", "latest", "--set", f"training.epochs={epochs}", **env)
    assert resumed["state"] == "finished" and [row["epoch"] for row in run.metrics()] == list(range(1, epochs + 1))


@pytest.mark.long
def test_a_killed_training_is_interrupted_and_can_be_resumed(trained, tmp_path):
    env = trained.env | {"EXPERTNET_RUNS": str(tmp_path)}
    signal_after_an_epoch(signal.SIGKILL, env)
    (row,) = document("runs", **env)
    assert row["state"] == "interrupted"
    epochs = f"training.epochs={row['epochs'] + 1}"
    assert document("train", "--resume", "latest", "--set", epochs, **env)["state"] == "finished"


def test_a_failed_training_ends_with_status_1(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(F, "cross_entropy", lambda logits, *_, **__: logits.sum() * float("nan"))
    done = command(*TRAIN_TINY, "--json", **trained.env | {"EXPERTNET_RUNS": str(tmp_path)})
    assert done.returncode == 1 and json.loads(done.stdout)["state"] == "failed"
    assert "training.lr" in done.stderr.splitlines()[-1]
