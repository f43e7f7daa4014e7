"""What works in a run: whether its files are intact, it has a trained network, and it can resume.

A check returns None, or says what is wrong and what you can do.
"""

from collections.abc import Callable, Iterable

from torch import Tensor

from expertnet.errors import RunError
from expertnet.store import reader
from expertnet.store.checkpoints import Checkpoint, ResumeState
from expertnet.store.run import Run
from expertnet.utils.text import counted

ENDED = {"failed": "failed", "stopped": "was stopped", "interrupted": "was interrupted"}


def find_damage(run: Run, epochs: Iterable[float] | None = None) -> str | None:
    """Check the files of a run. `epochs` are those of its history, if the caller has read it."""
    return _fault(lambda: _check_files(run, run.epochs() if epochs is None else epochs))


def _check_files(run: Run, epochs: Iterable[float]) -> None:
    _check_config(run)
    kinds = run.checkpoints.present()
    epoch = reader.read_status(run.path).epoch
    missing = epoch - sum(1 <= number <= epoch for number in epochs)
    if missing:
        raise RunError(
            f"The metrics.jsonl of run {run.id} is damaged: its curves lack {counted(missing, 'epoch')}. "
            "You can still use its network."
        )
    for kind in ("best", *kinds) if kinds else ():
        if run.checkpoints.epoch(kind) is None:
            raise run.checkpoints.unusable(kind)


def check_network(run: Run) -> None:
    """Raise RunError unless a run has a trained network."""
    _check_config(run)
    epochs = [run.checkpoints.epoch(kind) for kind in run.checkpoints.present()]
    if any(epochs):
        return
    if epochs and 0 not in epochs:
        restore = reader.can_restore(run.path)
        way = "Resume training to write a new one." if restore else "Start a new run with its settings."
        raise RunError(f"No checkpoint of run {run.name} can be read. {way}")
    status = run.status()
    if status.state in ENDED and not status.epoch:
        raise RunError(
            f"Run “{run.title}” {ENDED[status.state]} before it completed an epoch, so it has no trained network."
        )
    raise RunError(f"Run “{run.title}” has no trained network yet. It gets one when its first epoch is completed.")


def load_weights(run: Run, kind: Checkpoint) -> tuple[dict[str, Tensor], int]:
    """Return the weights of a checkpoint and their epoch. Raises RunError, also if they have not been trained yet."""
    weights, epoch = run.checkpoints.load(kind) if run.checkpoints.present() else ({}, 0)
    if not epoch:
        check_network(run)  # says why
    return weights, epoch


def has_network(run: Run) -> bool:
    return _fault(lambda: check_network(run)) is None


def network_shape(run: Run) -> tuple[object, ...]:
    """Return what two networks must have in common to compare their routing: classes, routed blocks and experts."""
    model, info = run.settings().model, run.dataset_info()
    return info and info.classes, model.num_blocks, model.routed_blocks, model.num_experts


def load_resume_state(run: Run, mmap: bool = False) -> ResumeState | None:
    """Return the state after the last completed epoch, or None before the first commit.

    With `mmap`, tensors are read from the disk on use. Raises RunError if the state is missing or damaged.
    """
    state = run.checkpoints.load_resume(mmap)
    if state is None and run.imported and run.checkpoints.present():
        raise RunError(
            f"Run {run.name} was imported without a resume.pt, so it cannot resume. Start a new run with its settings."
        )
    if state is None and run.metrics():
        raise RunError(f"Run {run.name} has lost its resume.pt, so it cannot resume. Start it again.")
    return state


def resume_fault(run: Run) -> str | None:
    """Check that a run can continue from its last completed epoch, or from the start."""
    return _fault(lambda: (run.settings(), load_resume_state(run, mmap=True)))


def _check_config(run: Run) -> None:
    run.settings()
    if run.checkpoints.present() or run.config().get("dataset") is not None:
        reader.read_dataset_info(run.path)


def _fault(check: Callable[[], object]) -> str | None:
    try:
        check()
    except RunError as error:
        return str(error)
    return None
