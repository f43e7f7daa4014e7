"""Runs that were deleted: they lie in the .trash of their store until they are brought back or it is emptied.

In this module: trashed, bring_back, empty. Run.move_to_trash puts them there. Only folders that are named as runs are touched,
and no link is followed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from expertnet.errors import RunError
from expertnet.store.run import Run
from expertnet.store.run_store import RUN_ID, RunStore
from expertnet.store.status import ACTIVE_STATES

TRASH = ".trash"  # the folder of the store for deleted runs


def trash_folder(store: RunStore) -> Path:
    return store.root / TRASH


def move_to_trash(run: Run) -> None:
    """Move a run to the trash of its store. Raises RunError if that is not possible."""
    if run.shipped:
        raise RunError(f"{run.title} is an included example and cannot be deleted.")
    if run.state in ACTIVE_STATES:
        raise RunError(f"Run {run.name} is {run.state}. Stop it before you delete it.")
    trash = run.path.parent / TRASH
    if trash.is_symlink():
        raise RunError(f"{trash} is a link. Replace it with a folder to delete runs.")
    if os.path.lexists(trash / run.id):
        raise RunError(f"The trash already has a run {run.id}. Empty it before you delete this one.")
    try:
        trash.mkdir(exist_ok=True)
        os.rename(run.path, trash / run.id)
    except OSError as error:
        raise RunError(f"Run {run.name} could not be deleted: {error.strerror}.") from None


def trashed(store: RunStore) -> list[Run]:
    """What can be brought back, newest first."""
    folder = trash_folder(store)
    if folder.is_symlink():
        return []
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if RUN_ID.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [Run(folder / name) for name in sorted(names, reverse=True)]


def bring_back(store: RunStore, run_id: str) -> Run:
    """Back into the store. Raises RunError where it is not in the trash, or the store has a run of its id again."""
    if run_id not in {run.id for run in trashed(store)}:
        raise RunError(f"There is no run {run_id[:80]!r} in the trash; it was brought back already, or emptied.")
    back = store.root / run_id
    if os.path.lexists(back):
        raise RunError(f"The store has a run {run_id} again; delete that one before you bring this one back.")
    try:
        os.rename(trash_folder(store) / run_id, back)
    except OSError as error:
        raise RunError(f"Run {run_id} could not be brought back: {error.strerror}.") from None
    return Run(back)


def empty(store: RunStore, run_ids: Iterable[str] | None = None) -> int:
    """Deletes for good: the runs that are named, or all. Returns how many; raises RunError for what could not be deleted."""
    wanted = None if run_ids is None else set(run_ids)
    runs = [run for run in trashed(store) if wanted is None or run.id in wanted]
    for done, run in enumerate(runs):
        try:
            shutil.rmtree(run.path)  # of a link within it, the link alone goes
        except OSError as error:
            raise RunError(
                f"Run {run.id} could not be deleted ({error.strerror}); {done} of {len(runs)} are gone."
            ) from None
    return len(runs)
