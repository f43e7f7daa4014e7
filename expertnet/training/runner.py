"""Train one run from its settings to its end, for the server and the command line alike."""

import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from expertnet.data.datasets import Dataset, dataset_title, has_changed, load_dataset
from expertnet.errors import DatasetError, RunError, TrainingError, UserError
from expertnet.network.cost import refuse_if_too_large
from expertnet.network.model import ExpertNet
from expertnet.store.checkpoints import ResumeState
from expertnet.store.checks import load_resume_state
from expertnet.store.history import HistoryRow
from expertnet.store.run import Run
from expertnet.store.start_weights import forget_start, start_weights
from expertnet.store.status import TRAINING, Status
from expertnet.store.steps import StepLog
from expertnet.store.trash import move_to_trash
from expertnet.training.describe import describe
from expertnet.training.notice import send_notice
from expertnet.training.pace import time_left
from expertnet.training.parallel import ALONE, SILENT, Group, listening
from expertnet.training.place import Place
from expertnet.training.progress import Progress, TestResult
from expertnet.training.status_writer import StatusWriter
from expertnet.training.stop import Stop
from expertnet.training.tensorboard import TensorBoardLog
from expertnet.training.trackers.start import start_trackers
from expertnet.training.trainer import Trainer
from expertnet.utils.devices import device_memory, device_name
from expertnet.utils.files import FULL, TEMPORARY, os_error_sentence, remove_leftovers
from expertnet.utils.progress import Cancelled, raise_if_cancelled
from expertnet.utils.text import counted, percent

WARM_UP = 3.0  # seconds; the first steps are too slow to estimate the time left

OnProgress = Callable[[Status], object]


def run_training(
    run: Run,
    stop: Stop,
    *,
    on_progress: OnProgress = lambda status: None,
    network: Callable[[int], ExpertNet] | None = None,
    place: Place | None = None,
    group: Group = ALONE,
    settle: bool = True,
) -> Status:
    """Train a run, from its last completed epoch if it has one, and return its final status.

    `stop` takes effect after a step, an evaluation batch or a part of a download, as does Run.ask_to_stop. A failure sets the
    state "failed", with its reason in the status and its traceback in the log. `network` creates another network with the
    interface of ExpertNet for a number of classes. `place` is what the run gets of the computer, by default all. `group` is the
    processes that train it together, of which this one is the first. Without `settle`, the caller calls `settled`. Raises
    OSError only if the status cannot be written.
    """
    with StatusWriter(run, stop) as writer, listening(group, lambda: _give_up(run, writer)):
        try:
            with group.explained(stop.is_set):
                _train(group, run, stop, writer, on_progress, network, place or Place())
        except Cancelled:
            writer.update(state=stop.state)
            epoch = writer.status.epoch + 1
            run.log(f"{stop.state.capitalize()} in epoch {epoch:,}. The last completed epoch is kept.")
        except TrainingError as error:
            _fail(run, writer, str(error), error.kind)
        except UserError as error:
            _fail(run, writer, str(error), "data" if isinstance(error, DatasetError) else "other")
        except OSError as error:
            _fail(run, writer, os_error_sentence(error), "disk" if error.errno in FULL else "other")
        except Exception as error:  # an error in one run must not end the thread, which trains the next
            fault = f"{type(error).__name__}: {error}"
            _fail(run, writer, f"Training failed with an unexpected error ({fault}). The log has the details.", "other")
        finally:
            writer.update(activity="", activity_share=None, seconds_left=None)
    return settled(run, writer.status) if settle else writer.status


def settled(run: Run, status: Status) -> Status:
    """Do what follows the end of a training, with its status: move the run to the trash if asked to, and send a notice."""
    if run.stop_asked() == "discard" and status.state == "stopped":
        try:
            move_to_trash(run)
        except RunError as error:  # the run stays where it is
            run.log(str(error))
    run.forget_stop()
    send_notice(run, status)
    return status


def _fail(run: Run, writer: StatusWriter, reason: str, kind: str) -> None:
    writer.update(state="failed", error=reason, error_kind=kind)
    # a traceback says nothing about images
    details = "" if kind == "data" else f"\n{traceback.format_exc()}"
    with suppress(OSError):  # the disk may be full, and the status has the reason
        run.log(f"Failed: {reason}{details}")


def _give_up(run: Run, writer: StatusWriter) -> None:
    """Write that another computer cannot be reached, and end the process, which would wait for it."""
    fault = {} if writer.stop.is_set() else {"error": SILENT, "error_kind": "other"}
    ended = {"state": "failed" if fault else writer.stop.state, "activity": "", **fault}
    writer.update(**ended, activity_share=None, seconds_left=None)
    with suppress(OSError):
        run.log(f"{ended['state'].capitalize()}: {SILENT}")
        writer.flush()
    os._exit(1)


def _train(
    group: Group,
    run: Run,
    stop: Stop,
    writer: StatusWriter,
    on_progress: OnProgress,
    network: Callable[[int], ExpertNet] | None,
    place: Place,
) -> None:
    settings = place.chosen(run.settings())

    def report(activity: str, share: float | None = None) -> None:
        writer.update(activity=activity, activity_share=share)
        on_progress(writer.status)

    raise_if_cancelled(stop.is_set)
    writer.update(
        state="running",
        error=None,
        error_kind=None,
        epochs=settings.training.epochs,
        before=None,
        activity="Preparing the data",
        seconds_left=None,
        step=0,
        images_per_second=None,
    )
    writer.flush()
    remove_leftovers(run.path, TEMPORARY)  # of a training that was killed; a server sweeps only at its start
    own = run.dataset_info()  # a run that resumes needs the images it began with
    share = settings.training.hardest_share
    data = load_dataset(settings.data, settings.seed, report, stop.is_set, own, share)
    if data.note:
        run.log(data.note)
    raise_if_cancelled(stop.is_set)
    group.wait()  # for the others, which find the prepared images on the disk
    refuse_if_too_large(settings, len(data.info.classes), len(data.train))  # others may have taken memory since
    report("Setting up the network")
    make = partial(network, len(data.info.classes)) if network else None
    state = load_resume_state(run)
    start = start_weights(run) if state is None else None
    trainer = Trainer(settings, data, threads=place.threads, log=run.log, network=make, start=start, group=group)
    trainer.history = history = _begin(run, data, trainer, state)
    group.wait()  # for the others, which start from the saved state
    forget_start(run)
    speed = history[-1].get("images_per_second") if history else None
    device = device_name(trainer.device)
    if group.count > 1:
        device += f", {group.count} processes"
    counts = {"validation_images": len(data.validation), "test_images": len(data.test)}
    known = {"device": device, "steps": trainer.steps, "epoch_images": trainer.steps * trainer.batch_size}
    writer.update(**known, **counts, epoch=trainer.epoch, images_per_second=speed, **_best(trainer))
    before = sum(row["seconds"] or 0.0 for row in history)
    if trainer.compiles:
        report("Compiling the network, which can take some minutes")
    writer.watch(trainer.device)
    started, first_epoch = time.perf_counter(), trainer.epoch
    with TensorBoardLog(run) as scalars, StepLog(run.path, trainer.epoch) as steps:
        start_trackers(run, settings)
        for progress in trainer.run():
            seconds = time.perf_counter() - started
            writer.update(**_live(progress, trainer, seconds, first_epoch), seconds=before + seconds)
            if progress.loss is not None and progress.images_per_second:
                steps.add(progress.epoch, progress.step, progress.steps, progress.loss, progress.images_per_second)
            if progress.metrics:
                run.checkpoints.commit_epoch(trainer.state_dict(), history, settings.training.keep_every)
                scalars.write(progress.metrics)
                # a longer training invalidates the test figures
                untested = dict.fromkeys(TestResult.__annotations__)
                figures = {"val_accuracy": progress.metrics["val_accuracy"], **_best(trainer), **untested}
                writer.update(epoch=trainer.epoch, step=0, activity=TRAINING, activity_share=None, **figures)
            elif progress.test:
                # with no validation set, best_val_accuracy is this figure too, in the precision of the training
                same = {"best_val_accuracy": progress.test["test_accuracy"]} if settings.watches_test else {}
                writer.update(**progress.test, **same)
            on_progress(writer.status)
            if not progress.test:
                raise_if_cancelled(stop.is_set)
    writer.update(state="finished", step=trainer.steps)
    run.log(f"Finished after epoch {trainer.epoch:,}. Test accuracy: {percent(writer.status.test_accuracy, 2)}.")


def _begin(run: Run, data: Dataset, trainer: Trainer, state: ResumeState | None) -> list[HistoryRow]:
    """Resume from a state, or commit the initial weights as epoch 0. Returns the history.

    Raises RunError before anything is written if the state is of another network.
    """
    settings = trainer.settings
    if state is None:
        describe(run, data, trainer)
        run.checkpoints.commit_epoch(trainer.state_dict(), [], settings.training.keep_every)
        images = counted(len(trainer.train), "training image")
        run.log(f"Started: {dataset_title(settings.data.dataset)}, {images}, {device_name(trainer.device)}.")
        if settings.model.start_from:
            run.log(f"The weights are those of run {settings.model.start_from}, except in the classifier.")
        return []
    try:
        trainer.load_state_dict(state)
    except RuntimeError:
        raise RunError(
            f"The resume.pt of run {run.name} does not fit its settings and its {counted(trainer.num_classes, 'class', 'classes')}. "
            "Start a new run with these settings."
        ) from None
    run.checkpoints.roll_back(state)
    describe(run, data, trainer)
    run.log(f"Resumed after epoch {trainer.epoch:,}.")
    if has_changed(settings.data, data.info):
        run.log(f"{dataset_title(settings.data.dataset)} has changed. The run keeps the images that it began with.")
    return run.metrics()


def _best(trainer: Trainer) -> dict[str, float | None]:
    return {"best_epoch": trainer.best["epoch"] or None, "best_val_accuracy": trainer.best["accuracy"]}


def _live(progress: Progress, trainer: Trainer, seconds: float, first_epoch: int) -> dict[str, str | float | None]:
    """Return the changes to the status after a record; `seconds` have passed since `first_epoch` epochs were completed."""
    settings, values = trainer.settings, dict[str, str | float | None](device_memory=device_memory(trainer.device))
    if progress.kind == "step":
        values |= {
            "activity": TRAINING,
            "activity_share": None,
            "step": progress.step,
            "images_per_second": progress.images_per_second,
            "seconds_left": time_left(settings, progress, seconds, first_epoch) if seconds > WARM_UP else None,
        }
    elif progress.kind == "evaluation":
        is_test = progress.epoch == trainer.epoch or settings.watches_test
        values |= {
            "activity": f"Evaluating on the {'test' if is_test else 'validation'} set",
            "activity_share": progress.step / progress.steps,
        }
    if progress.loss is not None:
        values["train_loss_now"] = progress.loss
    return values
