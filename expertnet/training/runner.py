"""One run, from its config to its end: what the browser's thread and the command line both call.

In this module: Stop (what ends a training early), run_training, StatusWriter (status.json from a timer).
"""

from __future__ import annotations

import subprocess
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch

from expertnet import __version__
from expertnet.data.datasets import Dataset, load_dataset
from expertnet.errors import DatasetError, UserError
from expertnet.network.cost import refuse_if_too_large
from expertnet.store.checks import load_resume_state
from expertnet.store.history import HistoryRow
from expertnet.store.run import Run
from expertnet.store.status import Status
from expertnet.store.trash import move_to_trash
from expertnet.training.tensorboard import ScalarLog
from expertnet.training.trainer import Progress, Trainer
from expertnet.utils.devices import device_memory, device_name
from expertnet.utils.files import FULL, os_error_sentence
from expertnet.utils.processes import this_process
from expertnet.utils.progress import Cancelled

WRITE_EVERY, HEARTBEAT_EVERY, LOOK_EVERY = 0.5, 5.0, 0.1  # seconds
FIRST_GUESS = 3.0  # seconds; the first steps are slower than the rest, and would say nothing of the time left


OnProgress = Callable[[Status], object]


class Stop(threading.Event):
    """Set where a training is to end early: a person has asked for it, or its process has to end."""

    interrupted = False

    def interrupt(self) -> None:
        self.interrupted = True
        self.set()

    @property
    def state(self) -> str:
        """That of a run which has ended by it."""
        return "interrupted" if self.interrupted else "stopped"


class StatusWriter:
    """status.json, written by a timer at most twice a second, so that a long step does not look dead.

    The timer also looks whether another process has asked the run to stop.
    """

    def __init__(self, run: Run, stop: Stop) -> None:
        self.run, self.stop, self.status = run, stop, run.status().changed(process=this_process())
        self._written = 0.0  # by a clock that nobody sets
        self._lock, self._closed, self._changed = threading.Lock(), threading.Event(), False
        self._thread = threading.Thread(target=self._beat, name=f"status {run.id}", daemon=True)

    def __enter__(self) -> StatusWriter:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()
        self._thread.join()
        self.flush()

    def update(self, **values: Any) -> None:
        with self._lock:
            self.status = self.status.changed(**values)
            self._changed = True

    def flush(self) -> None:
        with self._lock:
            state = "stopping" if self.stop.is_set() and self.status.state == "running" else self.status.state
            self.status = self.status.changed(state=state, heartbeat=time.time())
            self._written, self._changed = time.monotonic(), False
            self.run.write_status(self.status)

    def _look(self) -> None:
        if not self.stop.is_set() and self.run.stop_asked():
            self.stop.set()

    def _beat(self) -> None:
        while not self._closed.wait(LOOK_EVERY):
            self._look()
            age = time.monotonic() - self._written
            asked = self.stop.is_set() and self.status.state == "running"
            if asked or (self._changed and age > WRITE_EVERY) or age > HEARTBEAT_EVERY:
                with suppress(
                    OSError
                ):  # a disk that cannot be written ends the training where it writes its epoch, not here
                    self.flush()


def run_training(run: Run, stop: Stop, *, on_progress: OnProgress = lambda status: None) -> Status:
    """Trains a run to its end, a stop or a failure, and returns its last status; goes on from resume.pt if there is one.

    `stop` takes effect at the next step, evaluation batch or piece of a download, as does Run.ask_to_stop. Never raises for
    what a run can do wrong: the sentence is in the status, the traceback in the log. Raises OSError where not even that
    can be written.
    """
    with StatusWriter(run, stop) as writer:
        try:
            _train(run, stop, writer, on_progress)
        except Cancelled:
            writer.update(state=stop.state)
            run.log(f"{stop.state.capitalize()} in epoch {writer.status.epoch + 1}; the last whole epoch is kept.")
        except UserError as error:
            kind = getattr(error, "kind", "data" if isinstance(error, DatasetError) else "other")
            _fail(run, writer, str(error), kind)
        except OSError as error:
            _fail(run, writer, os_error_sentence(error), "disk" if error.errno in FULL else "other")
        except Exception as error:  # the thread must outlive whatever a run meets
            _fail(
                run,
                writer,
                f"The run ended on an error it did not expect ({type(error).__name__}: {error}); its log says where.",
                "other",
            )
        finally:
            writer.update(activity="", activity_share=None, seconds_left=None)
    if run.stop_asked() == "discard" and writer.status.state == "stopped":
        move_to_trash(run)
    run.forget_stop()
    return writer.status


def _fail(run: Run, writer: StatusWriter, sentence: str, kind: str) -> None:
    writer.update(state="failed", error=sentence, error_kind=kind)
    # of images, the sentence says all there is to say
    where = "" if kind == "data" else f"\n{traceback.format_exc()}"
    with suppress(OSError):  # on a full disk the status has the sentence
        run.log(f"Failed: {sentence}{where}")


def _train(run: Run, stop: Stop, writer: StatusWriter, on_progress: OnProgress) -> None:
    settings = run.settings()
    epochs, keep_every = settings.training.epochs, settings.training.keep_every

    def check() -> None:
        if stop.is_set():
            raise Cancelled

    def report(activity: str, share: float | None = None) -> None:
        writer.update(activity=activity, activity_share=share)
        on_progress(writer.status)

    check()
    writer.update(
        state="running",
        error=None,
        error_kind=None,
        epochs=epochs,
        before=None,
        activity="Preparing the data",
        seconds_left=None,
        step=0,
        images_per_second=None,
    )
    writer.flush()
    data = load_dataset(settings.data, settings.seed, progress=report, cancelled=stop.is_set)
    if data.note:
        run.log(data.note)
    check()
    refuse_if_too_large(settings, len(data.info.classes))
    report("Setting up the network")
    trainer = Trainer(settings, data, log=run.log)
    _describe(run, data, trainer)
    saved = load_resume_state(run)
    if saved is None:
        run.checkpoints.commit_epoch(trainer.state_dict(), history := [], keep_every)
        run.log(f"Started: {settings.data.dataset}, {len(data.train)} training images, {device_name(trainer.device)}.")
    else:
        run.checkpoints.roll_back(saved)
        history = run.metrics()
        trainer.load_state_dict(saved)
        run.log(f"Going on after epoch {trainer.epoch}.")
    speed = history[-1].get("images_per_second") if history else None
    device = device_name(trainer.device)
    writer.update(device=device, epoch=trainer.epoch, steps=trainer.steps, images_per_second=speed, **_best(trainer))
    before = sum(line.get("seconds") or 0 for line in history)
    started, first_epoch = time.perf_counter(), trainer.epoch
    with ScalarLog(run) as scalars:
        for progress in trainer.run():
            writer.update(
                **_live(progress, trainer, started, first_epoch), seconds=before + time.perf_counter() - started
            )
            if progress.kind == "epoch":
                assert progress.metrics is not None
                history.append(cast(HistoryRow, progress.metrics))
                run.checkpoints.commit_epoch(trainer.state_dict(), history, keep_every)
                scalars.write(progress.metrics)
                untested = dict.fromkeys(
                    ("test_accuracy", "test_accuracy_mirrored", "test_loss")
                )  # since it was trained longer
                writer.update(
                    epoch=trainer.epoch,
                    step=0,
                    val_accuracy=progress.metrics["val_accuracy"],
                    **_best(trainer),
                    **untested,
                )
            elif progress.kind == "test":
                assert progress.metrics is not None
                writer.update(**progress.metrics)
            on_progress(writer.status)
            if progress.kind != "test":
                check()
    writer.update(state="finished", step=trainer.steps)
    run.log(f"Finished after epoch {trainer.epoch}; test accuracy {writer.status.test_accuracy:.4f}.")


def _best(trainer: Trainer) -> dict[str, Any]:
    return {"best_epoch": trainer.best["epoch"] or None, "best_val_accuracy": trainer.best["accuracy"]}


def _live(progress: Progress, trainer: Trainer, started: float, first_epoch: int) -> dict[str, Any]:
    """What status.json says of a step, an evaluation batch or an epoch."""
    values: dict[str, Any] = {"device_memory": device_memory(trainer.device)}
    if progress.kind == "step":
        done = progress.epoch - 1 - first_epoch + progress.step / progress.steps
        left, passed = trainer.settings.training.epochs - first_epoch - done, time.perf_counter() - started
        values |= {
            "activity": "Training",
            "activity_share": None,
            "step": progress.step,
            "images_per_second": progress.images_per_second,
            "seconds_left": passed / done * left if passed > FIRST_GUESS else None,
        }
    elif progress.kind == "evaluation":
        testing = progress.epoch == trainer.settings.training.epochs == trainer.epoch
        values |= {
            "activity": "Measuring on the test set"
            if testing or trainer.settings.watches_test
            else "Measuring on the validation set",
            "activity_share": progress.step / progress.steps,
        }
    if progress.loss is not None:
        values["train_loss_now"] = progress.loss
    return values


def _describe(run: Run, data: Dataset, trainer: Trainer) -> None:
    """Writes into config.json all that classifying needs without the data, and where the run ran."""
    environment = {
        "expertnet": __version__,
        "torch": torch.__version__,
        "device": device_name(trainer.device),
        "precision": str(trainer.dtype).removeprefix("torch."),
        "git_revision": git_revision(),
    }
    run.write_config(run.config() | {"dataset": data.info.to_dict(), "environment": environment})


@cache
def git_revision() -> str | None:
    """The commit this code is at; None where it is no checkout."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
        return answer.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
