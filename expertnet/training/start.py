"""Check that a run can start or resume, before it is queued."""

import os
from pathlib import Path

import torch

from expertnet.data.custom import known_class_count, known_training_images, refuse_changed_images
from expertnet.data.info import DatasetInfo
from expertnet.errors import RunError, SettingsError
from expertnet.network.cost import refuse_if_too_large
from expertnet.settings.fields import settings_from_dict
from expertnet.settings.schema import Settings
from expertnet.store.checks import resume_fault
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES, Before
from expertnet.training.early_stop import early_end
from expertnet.training.ray_executor import uses_ray
from expertnet.training.trackers.start import require_trackers
from expertnet.utils.processes import this_process

CLASSES_IF_UNKNOWN = 10  # until the images are loaded; the memory hardly depends on it


def check_can_start(
    settings: Settings, store: RunStore, own: DatasetInfo | None = None, start: Path | None = None
) -> None:
    """Raise UserError if a dataset, device, package, memory or the run in `store` to start from is missing.

    `own` describes the images to train on, even if their dataset is gone, and `start` is a file of weights to start from.
    """
    require_trackers(settings)
    refuse_changed_images(settings.data, own)
    if start is None:
        store.start_source(settings)
    refuse_unfit(settings, len(own.classes) if own else known_class_count(settings.data) or CLASSES_IF_UNKNOWN)


def refuse_unfit(settings: Settings, num_classes: int) -> None:
    """Raise SettingsError if this computer lacks the devices or the memory for a run, unless a node of a Ray cluster checks that."""
    if not uses_ray():
        refuse_missing_gpus(settings)
        refuse_if_too_large(settings, num_classes, known_training_images(settings.data))


def refuse_missing_gpus(settings: Settings) -> None:
    """Raise SettingsError if the processes of a run need more NVIDIA GPUs than this computer has."""
    # on several computers, torch's launcher says how many train on this one
    count = int(os.environ.get("LOCAL_WORLD_SIZE", settings.hardware.processes))
    gpus = torch.cuda.device_count()
    if count > 1 and settings.hardware.device != "cpu" and gpus and count > gpus:
        raise SettingsError(
            f"`hardware.processes` must be at most {gpus}, the number of GPUs of this computer, or `hardware.device` cpu. "
            f"You entered {count}."
        )


def prepare_resume(run: Run, epochs: int | None = None, processes: int | str | None = None) -> None:
    """Mark a run as queued again, with `epochs` in total and another number of `processes` (also as text) if given.

    Raises RunError or DatasetError if it cannot resume, and SettingsError if the processes do not fit the run's other settings.
    """
    status = run.status()
    if run.shipped:
        raise RunError(
            f"“{run.title}” is an included example and cannot be changed. Start a new run with its settings."
        )
    if status.state in ACTIVE_STATES:
        raise RunError(f"Run {run.name} is already {status.state}.")
    fault = resume_fault(run)
    if fault:
        raise RunError(fault)
    settings, config, done = run.settings(), run.config(), status.epoch
    epochs = epochs or settings.training.epochs
    if done >= epochs and status.state == "finished":
        raise RunError(f"Run {run.name} has completed all {done} epochs. To train longer, raise `training.epochs`.")
    longer = settings.training.model_copy(update={"epochs": epochs})
    if status.state == "finished" and (why := early_end(longer, run.metrics())):
        raise RunError(f"Run {run.name} has ended. {why} To train longer, start a new run with its settings.")
    if epochs < done:
        raise RunError(
            f"Run {run.name} has completed {done} epochs. `training.epochs` must be at least {done}. You entered {epochs}."
        )
    config = config | {"training": config["training"] | {"epochs": epochs}}
    if processes:
        config["hardware"] = config.get("hardware", {}) | {"processes": processes}
    if epochs > settings.training.epochs:
        config.pop("trial", None)  # nobody waits with a notice for the epochs that a person adds
    changed = settings_from_dict(config)
    if processes:
        config["hardware"]["processes"] = changed.hardware.processes
    if not uses_ray():
        refuse_missing_gpus(changed)
    refuse_changed_images(changed.data, run.dataset_info())  # before the run changes
    if run.state in ACTIVE_STATES:  # another page resumed it while this one checked it
        raise RunError(f"Run {run.name} is already {run.state}.")
    RunQueue(run.path.parent).done(run.id)  # Ray, which may have been about to start it again, no longer does
    run.forget_stop()
    before = Before(
        state=status.state,
        epochs=settings.training.epochs,
        error=status.error,
        error_kind=status.error_kind,
        processes=settings.hardware.processes,
        trial=run.control_of or run.trial,
    )
    run.write_config(config)
    run.write_status(
        status.changed(
            process=this_process().beating(),
            state="queued",
            epochs=epochs,
            own_process=False,
            error=None,
            error_kind=None,
            before=before,
        )
    )
