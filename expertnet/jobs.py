"""Training in the background: joins the engine and the store.

In this module: run_training (one run from its config to its end, the same for the browser and the command line),
StatusWriter (status.json from a timer), Manager (one training thread and its queue) and manager(), the process's one.
Nothing here knows of a browser: pages ask the manager to start and stop, and read the store for the rest.
"""

from __future__ import annotations

import atexit
import subprocess
import threading
import time
import traceback
from collections import deque
from functools import cache
from pathlib import Path
from typing import Any

import torch

from expertnet import __version__
from expertnet.config import Settings, SettingsError
from expertnet.datasets import Cancelled, Dataset, DatasetError, known_class_count, load_dataset
from expertnet.devices import device_memory, device_name
from expertnet.engine import Progress, Trainer, TrainingError
from expertnet.estimate import refuse_if_too_large
from expertnet.runs import ACTIVE_STATES, Run, RunError, RunStore, this_process

WRITE_EVERY, HEARTBEAT_EVERY, LOOK_EVERY = 0.5, 5.0, 0.1  # seconds


class StatusWriter:
    """status.json, written by a timer at most twice a second, so that a long step does not look dead."""

    def __init__(self, run: Run, stop: threading.Event) -> None:
        self.run, self.stop, self.status = run, stop, run.status() | this_process()
        self._lock, self._closed, self._changed = threading.Lock(), threading.Event(), False
        self._thread = threading.Thread(target=self._beat, name=f"status {run.id}", daemon=True)

    def __enter__(self) -> StatusWriter:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()
        self._thread.join()
        self.flush()

    def update(self, **values: Any) -> None:
        with self._lock:
            self.status.update(values)
            self._changed = True

    def flush(self) -> None:
        with self._lock:
            if self.stop.is_set() and self.status["state"] == "running":
                self.status["state"] = "stopping"
            self.status["heartbeat"], self._changed = time.time(), False
            self.run.write_status(self.status)

    def _beat(self) -> None:
        while not self._closed.wait(LOOK_EVERY):
            age = time.time() - (self.status["heartbeat"] or 0)
            asked = self.stop.is_set() and self.status["state"] == "running"
            if asked or self._changed and age > WRITE_EVERY or age > HEARTBEAT_EVERY:
                try:
                    self.flush()
                except OSError as error:  # a full disk ends the training where it writes its epoch, not here
                    self.status["error"] = str(error)


def run_training(run: Run, stop: threading.Event, *, on_progress: Any = lambda status: None) -> dict[str, Any]:
    """Trains a run to its end, a stop or a failure, and returns its last status; goes on from resume.pt if there is one.

    `stop` takes effect at the next step, evaluation batch or piece of a download. Never raises for what a run can do
    wrong: the sentence is in the status, the traceback in the log.
    """
    with StatusWriter(run, stop) as writer:
        try:
            _train(run, stop, writer, on_progress)
        except Cancelled:
            writer.update(state="stopped")
            run.log(f"Stopped in epoch {writer.status['epoch'] + 1}; the last whole epoch is kept.")
        except (TrainingError, DatasetError, SettingsError, RunError) as error:
            kind = getattr(error, "kind", "data" if isinstance(error, DatasetError) else "other")
            _fail(run, writer, str(error), kind)
        except Exception as error:  # the thread must outlive whatever a run meets
            _fail(run, writer, f"The run ended on an error it did not expect ({type(error).__name__}: {error}); its log says where.", "other")
        finally:
            writer.update(activity="", activity_share=None, seconds_left=None)
    return writer.status


def _fail(run: Run, writer: StatusWriter, sentence: str, kind: str) -> None:
    writer.update(state="failed", error=sentence, error_kind=kind)
    run.log(f"Failed: {sentence}\n{traceback.format_exc()}")


def _train(run: Run, stop: threading.Event, writer: StatusWriter, on_progress: Any) -> None:
    settings = run.settings()
    epochs = settings.training.epochs

    def check() -> None:
        if stop.is_set():
            raise Cancelled

    def report(activity: str, share: float | None = None) -> None:
        writer.update(activity=activity, activity_share=share)
        on_progress(writer.status)

    check()
    writer.update(state="running", error=None, error_kind=None, epochs=epochs, activity="Preparing the data", seconds_left=None)
    writer.flush()
    data = load_dataset(settings.data, settings.seed, progress=report, cancelled=stop.is_set)
    check()
    refuse_if_too_large(settings, len(data.info.classes))
    report("Setting up the network")
    trainer = Trainer(settings, data, log=run.log)
    _describe(run, data, trainer)
    saved = run.load_resume()
    if saved is None:
        run.commit_epoch(trainer.state_dict(), None)
        run.log(f"Started: {settings.data.dataset}, {len(data.train)} training pictures, {device_name(trainer.device)}.")
    else:
        run.roll_back(saved)
        trainer.load_state_dict(saved)
        run.log(f"Going on after epoch {trainer.epoch}.")
    writer.update(device=device_name(trainer.device), epoch=trainer.epoch, steps=trainer.steps, step=0, **_best(trainer))
    before = sum(line.get("seconds") or 0 for line in run.metrics())
    started, first_epoch = time.perf_counter(), trainer.epoch
    for progress in trainer.run():
        writer.update(**_live(progress, trainer, started, first_epoch), seconds=before + time.perf_counter() - started)
        if progress.kind == "epoch":
            assert progress.metrics is not None
            run.commit_epoch(trainer.state_dict(), progress.metrics)
            writer.update(epoch=trainer.epoch, val_accuracy=progress.metrics["val_accuracy"], **_best(trainer))
        elif progress.kind == "test":
            assert progress.metrics is not None
            writer.update(**progress.metrics)
        on_progress(writer.status)
        if progress.kind != "test":
            check()
    writer.update(state="finished", step=trainer.steps)
    run.log(f"Finished after {trainer.epoch} epochs; test accuracy {writer.status['test_accuracy']:.4f}.")


def _best(trainer: Trainer) -> dict[str, Any]:
    return {"best_epoch": trainer.best["epoch"] or None, "best_val_accuracy": trainer.best["accuracy"]}


def _live(progress: Progress, trainer: Trainer, started: float, first_epoch: int) -> dict[str, Any]:
    """What status.json says of a step, an evaluation batch or an epoch."""
    values: dict[str, Any] = {"device_memory": device_memory(trainer.device)}
    if progress.kind == "step":
        done = progress.epoch - 1 - first_epoch + progress.step / progress.steps
        left = trainer.settings.training.epochs - first_epoch - done
        values |= {"activity": "Training", "activity_share": None, "step": progress.step, "images_per_second": progress.images_per_second,
                   "seconds_left": (time.perf_counter() - started) / done * left}
    elif progress.kind == "evaluation":
        testing = progress.epoch == trainer.settings.training.epochs == trainer.epoch
        values |= {"activity": "Measuring on the test set" if testing or trainer.settings.watches_test else "Measuring on the validation set",
                   "activity_share": progress.step / progress.steps}
    if progress.loss is not None:
        values["train_loss_now"] = progress.loss
    return values


def _describe(run: Run, data: Dataset, trainer: Trainer) -> None:
    """Writes into config.json all that classifying needs without the data, and where the run ran."""
    environment = {"expertnet": __version__, "torch": torch.__version__, "device": device_name(trainer.device),
                   "precision": str(trainer.dtype).removeprefix("torch."), "git_revision": git_revision()}
    run.write_config(run.config() | {"dataset": data.info.to_dict(), "environment": environment})


@cache
def git_revision() -> str | None:
    """The commit this code is at; None where it is no checkout."""
    try:
        answer = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=True)
        return answer.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


class Manager:
    """One training at a time in a background thread, the rest queued in order. Every method may be called by any thread."""

    def __init__(self) -> None:
        self._queue: deque[Run] = deque()
        self._active: Run | None = None
        self._stop = threading.Event()
        self._discard: set[str] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    def submit(self, settings: Settings, *, preset: str = "", name: str = "", store: RunStore | None = None) -> Run:
        """Queues a new run and returns it at once. Raises SettingsError where it could not even start."""
        refuse_what_cannot_start(settings)
        run = (store or RunStore()).create(settings, preset, name)
        self._enqueue(run)
        return run

    def resume(self, run: Run, epochs: int | None = None) -> Run:
        """Queues a run that was stopped, interrupted or failed, to go on after its last whole epoch."""
        prepare_resume(run, epochs)
        self._enqueue(run)
        return run

    def stop(self, run: Run, discard: bool = False) -> None:
        """Asks a run to stop: its state says so at once. With discard, it is deleted when it has stopped."""
        with self._changed:
            if discard:
                self._discard.add(run.id)
            if self._active and self._active.id == run.id:
                self._stop.set()
            elif run.id in self.queue():
                self._queue = deque(waiting for waiting in self._queue if waiting.id != run.id)
                run.write_status(run.status() | {"state": "stopped"})
                self._delete_discarded(run)
            else:
                self._discard.discard(run.id)
                raise RunError(f"Run {run.name} does not run in this server, so it cannot be stopped from here.")

    def active(self) -> str | None:
        return self._active.id if self._active else None

    def queue(self) -> list[str]:
        return [run.id for run in self._queue]

    def join(self, run_id: str | None = None, timeout: float | None = None) -> bool:
        """Waits until a run (or all) is no longer queued or running; False when the time ran out."""
        def idle() -> bool:
            busy = [*self.queue(), *([self._active.id] if self._active else [])]
            return run_id not in busy if run_id else not busy
        with self._changed:
            return self._changed.wait_for(idle, timeout)

    def close(self) -> None:
        """Stops what runs, keeping its last whole epoch; called when the process ends."""
        with self._changed:
            self._closing = True
            self._stop.set()
            thread = self._thread
            self._changed.notify_all()
        if thread:
            thread.join(timeout=30)

    def _enqueue(self, run: Run) -> None:
        with self._changed:
            self._queue.append(run)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="training", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if self._closing:
                    return
                self._active = run = self._queue.popleft()
                self._stop.clear()
            try:
                run_training(run, self._stop)
            except OSError:  # the run's folder cannot be written any more: nobody to tell but the next run
                traceback.print_exc()
            with self._changed:
                self._active = None
                self._delete_discarded(run)
                self._changed.notify_all()

    def _delete_discarded(self, run: Run) -> None:
        if run.id in self._discard:
            self._discard.discard(run.id)
            run.delete()


def refuse_what_cannot_start(settings: Settings) -> None:
    """Raises SettingsError for what can be known before a run exists: a device that is not there, too little memory."""
    refuse_if_too_large(settings, known_class_count(settings.data) or 10)


def prepare_resume(run: Run, epochs: int | None = None) -> None:
    """Marks a run as queued again, with another number of epochs if one is given. Raises RunError where it cannot go on."""
    status = run.status()
    if status["state"] in ACTIVE_STATES:
        raise RunError(f"Run {run.name} is {status['state']} already.")
    settings, config = run.settings(), run.config()
    done = status["epoch"] or 0
    epochs = epochs or settings.training.epochs
    if done >= epochs and status["state"] == "finished":
        raise RunError(f"Run {run.name} has finished its {done} epochs; give a larger training.epochs to train it longer.")
    if epochs < done:
        raise RunError(f"Run {run.name} is past epoch {epochs} already: training.epochs takes at least {done}.")
    config = config | {"training": config["training"] | {"epochs": epochs}}
    run.write_config(config)
    run.write_status(status | this_process() | {"state": "queued", "epochs": epochs, "error": None, "error_kind": None,
                                                "heartbeat": time.time(), "test_accuracy": None, "test_loss": None})


@cache
def manager() -> Manager:
    """The process's one manager."""
    made = Manager()
    atexit.register(made.close)
    return made
