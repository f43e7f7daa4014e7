"""The trash of a store: the folder .trash, where deleted runs stay until they are restored or deleted permanently.

Only folders named like runs are touched. Of a link, the link is moved and deleted, never what it points to.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from expertnet.data.own.copies import release_copy, remove_copies, source_of_copy
from expertnet.errors import RunError
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES

TRASH = ".trash"


def trashed(store: RunStore) -> list[Run]:
    """Return the runs in the trash, newest first."""
    folder = store.root / TRASH
    return [] if folder.is_symlink() else RunStore(folder).list()


def move_to_trash(run: Run) -> None:
    """Move a run to the trash of its store. Raises RunError if that is not possible."""
    if run.shipped:
        raise RunError(f"“{run.title}” is an included example and cannot be deleted.")
    if run.state in ACTIVE_STATES:
        raise RunError(f"Run {run.name} is {run.state}. Stop it before you delete it.")
    trash = run.path.parent / TRASH
    if trash.is_symlink():
        raise RunError(f"{trash} is a link. Replace it with a folder to delete runs.")
    if os.path.lexists(trash / run.id):
        raise RunError(f"The trash already has a run {run.id}. Empty it before you delete this one.")
    with _explained(f"Run {run.name} could not be deleted"):
        trash.mkdir(exist_ok=True)
        if run.path.is_symlink():  # made anew, because a relative target would not be found from the trash
            os.symlink(run.path.parent.resolve() / os.readlink(run.path), trash / run.id, target_is_directory=True)
            run.path.unlink()
        else:
            os.rename(run.path, trash / run.id)


def restore_run(store: RunStore, run_id: str) -> Run:
    """Move a run from the trash back to the store. Raises RunError if that is not possible."""
    if run_id not in {run.id for run in trashed(store)}:
        raise RunError(
            f"There is no run {run_id[:80]!r} in the trash. It may have been restored or deleted permanently."
        )
    path = store.root / run_id
    if os.path.lexists(path):
        raise RunError(f"The store already has a run {run_id}. Delete it before you restore this one.")
    with _explained(f"Run {run_id} could not be restored"):
        os.rename(store.root / TRASH / run_id, path)
    return Run(path)


def empty_trash(store: RunStore, run_ids: Iterable[str] | None = None) -> int:
    """Permanently delete these runs in the trash (by default all) and return their number.

    Decoded images that only they needed are deleted, too (`remove_copies`). Raises RunError, which says how many are deleted,
    if one cannot be.
    """
    wanted = None if run_ids is None else set(run_ids)
    runs = [run for run in trashed(store) if wanted is None or run.id in wanted]
    sources = set[str]()
    for done, run in enumerate(runs):
        info = None if run.path.is_symlink() else run.dataset_info()
        with _explained(f"{done} of {len(runs)} runs are deleted. Run {run.id} could not be deleted"):
            if run.path.is_symlink():
                run.path.unlink()
            else:
                shutil.rmtree(run.path)
        if info:
            release_copy(info.fingerprint, run.id)
            sources.add(source_of_copy(info.fingerprint))
    remove_copies(sources, partial(named_images, store))
    return len(runs)


def named_images(store: RunStore) -> set[str]:
    """Return the keys of the decoded images that the runs of a store name, those in the trash too."""
    return {info.fingerprint for run in (*store.list(), *trashed(store)) if (info := run.dataset_info())}


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"{what}: {error.strerror}.") from None
