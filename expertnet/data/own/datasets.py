"""Create, change, undo and remove datasets of your own. A change is a line in the log, which makes a version of it."""

import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from filelock import Timeout

from expertnet.data.builtin import BUILTIN
from expertnet.data.own.contents import Contents, Patch, difference
from expertnet.data.own.copies import remove_copies
from expertnet.data.own.folders import TRASH, dataset_ids, home, log_of, trashed_ids
from expertnet.data.own.log import append_line
from expertnet.data.own.names import LONGEST, checked_name
from expertnet.data.own.versions import Version, find_version, open_version, read_log, sources
from expertnet.errors import DatasetError
from expertnet.utils.files import file_lock
from expertnet.utils.text import cut, listed, plural

DELETED = ".deleted"  # in the trash: the ids of deleted datasets, which runs may still name, one a line
LOCKED_FOR = 60.0  # seconds to wait for another change


# --- change ----------------------------------------------------------------------------------------------------------


def create_dataset(title: str) -> Version:
    """Create an empty dataset, with an id that none has had. Raises DatasetError if there is one of the same name."""
    title = free_title(title)
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_title.lower()).strip("-")[:30].strip("-") or "dataset"
    taken = {*BUILTIN, *trashed_ids(), *_deleted_ids()}
    for place in range(1, 10_000):
        dataset = slug if place == 1 else f"{slug}-{place}"
        if dataset in taken:
            continue
        with suppress(FileExistsError):
            home().mkdir(parents=True, exist_ok=True)
            (home() / dataset).mkdir()
            _note(dataset, 1, f"“{title}” created", {"title": title})
            return open_version(dataset)
    raise DatasetError(f"There are too many datasets named “{title}”. Choose another name.")


def free_title(title: str, but: str = "") -> str:
    """Return a title as it is saved. Raises DatasetError if it cannot be used, or if another dataset has it."""
    title = checked_name(title, "name of the dataset")
    if any(same_title(other, title) for other in dataset_ids() if other != but):
        raise DatasetError(f"There is already a dataset “{title}”. Choose another name.")
    return title


def _numbered_title(title: str, but: str) -> str:
    """Return a title, with a number if another dataset has it."""
    numbered = (f"{cut(title, LONGEST - 5)} {number}" for number in count(2))
    others = [other for other in dataset_ids() if other != but]
    return next(name for name in chain([title], numbered) if not any(same_title(other, name) for other in others))


def same_title(dataset: str, title: str) -> bool:
    """Return whether a dataset has a title, but for case. A damaged one has none."""
    known = find_version(dataset)
    return known is not None and known.contents.title.casefold() == title.casefold()


def ids_of(text: str) -> list[str]:
    """Return the id of the dataset that has this id, or else the ids of all that have this title."""
    ids = dataset_ids()
    return [text] if text in ids else [name for name in ids if same_title(name, text)]


def find_id(text: str) -> str:
    """Return the id of a dataset by its id or title. Raises DatasetError."""
    ids = ids_of(text)
    if text in BUILTIN and text not in ids:
        yours = f" Yours of the same name {plural(len(ids), 'is', 'are')} {listed(ids)}." if ids else ""
        raise DatasetError(f"{text} is a built-in dataset, which cannot be changed.{yours}")
    if not ids:
        raise DatasetError(f"There is no dataset {text[:80]!r}. 'expertnet data list' names them all.")
    if len(ids) > 1:
        raise DatasetError(f"Several datasets are named {text[:80]!r}: {', '.join(ids)}. Use one of these IDs.")
    return ids[0]


def _note(dataset: str, number: int, what: str, patch: Patch, **noted: Any) -> None:
    time = datetime.now(UTC).isoformat(timespec="seconds")
    line = {"version": number, "time": time, "what": what, "patch": patch} | noted
    append_line(log_of(dataset), line)


def edit(dataset: str, change: Callable[[Contents], str], **noted: Any) -> Version:
    """Let `change` modify a copy of the latest contents and say what it did, and save them as a new version.

    Returns the latest version unchanged if nothing differs. `noted` is added to the line of the log. Raises DatasetError, also
    what `change` raises, and OSError.
    """
    with locked(home() / dataset):
        before = open_version(dataset)
        after = before.contents.copy()
        what = change(after)
        patch = difference(before.contents, after)
        if patch:
            _note(dataset, before.number + 1, what, patch, **noted)
        return open_version(dataset)


def can_undo(dataset: str) -> str:
    """Return in words what Undo would take back, or ""."""
    log = read_log(dataset)
    return log.what(log.undo[-1]) if len(log.undo) > 1 else ""


def can_redo(dataset: str) -> str:
    """Return in words what Redo would do again, or ""."""
    log = read_log(dataset)
    return log.what(log.redo[-1]) if log.redo else ""


def undo(dataset: str) -> Version:
    """Take the last change back, as a new version. Raises DatasetError if there is none."""
    latest, what = open_version(dataset).number, can_undo(dataset)
    if not what:
        raise DatasetError("There is no change to undo.")
    *_, target, undone = read_log(dataset).undo
    return _back_to(dataset, target, f"Undone: {what}", latest, undoes=undone)


def redo(dataset: str) -> Version:
    """Do again what was undone last, as a new version. Raises DatasetError if there is nothing."""
    latest, what = open_version(dataset).number, can_redo(dataset)
    if not what:
        raise DatasetError("There is no change to redo.")
    target = read_log(dataset).redo[-1]
    return _back_to(dataset, target, f"Redone: {what}", latest, redoes=target)


def restore_version(dataset: str, number: int) -> Version:
    """Make a new version with the contents of an older one. Raises DatasetError."""
    return _back_to(dataset, number, f"Version {number} restored")


def _back_to(dataset: str, number: int, what: str, latest: int = 0, **noted: Any) -> Version:
    """Return to an older version, with `latest` only if that still is the latest one."""

    def change(contents: Contents) -> str:
        if latest and open_version(dataset).number != latest:
            raise DatasetError("The dataset was changed in the meantime. Look at the last change, then try again.")
        old = open_version(dataset, number).contents  # not earlier: another tab may have deleted its files
        contents.title, contents.classes, contents.images = old.title, old.classes, old.images
        return what

    return edit(dataset, change, **noted)


def refuse_if_gone(folder: Path) -> None:
    """Raise DatasetError if another tab has removed a dataset."""
    if not folder.is_dir():
        raise DatasetError(f"There is no dataset {folder.name!r}. It was removed in the meantime.")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let only this process change a dataset. Raises DatasetError."""
    try:
        refuse_if_gone(folder)
        with file_lock(folder / "lock", LOCKED_FOR):
            yield
    except Timeout:
        raise DatasetError("The dataset is being changed by another process. Try again in a minute.") from None


# --- remove ----------------------------------------------------------------------------------------------------------


def remove_dataset(dataset: str) -> None:
    """Move a dataset to the trash. Runs that were trained on it keep their decoded images. Raises DatasetError."""
    open_version(dataset)
    _move(home() / dataset, home() / TRASH / dataset)


def restore_dataset(dataset: str) -> Version:
    """Move a dataset back from the trash, and rename it if another one has its title by now. Raises DatasetError."""
    _refuse_unless_trashed(dataset)
    _move(home() / TRASH / dataset, home() / dataset)

    def change(contents: Contents) -> str:
        old, contents.title = contents.title, _numbered_title(contents.title, but=dataset)
        return f"“{old}” renamed to “{contents.title}”"

    return edit(dataset, change)


def delete_dataset(dataset: str, named: Callable[[], set[str]]) -> None:
    """Delete a dataset in the trash permanently, with its decoded images that no run needs (`remove_copies`).

    Raises DatasetError or OSError.
    """
    _refuse_unless_trashed(dataset)
    before = sources(home() / TRASH / dataset / "log.jsonl")
    if len(before) != 1:  # else it never had an image, so that no run names it
        with (home() / TRASH / DELETED).open("a") as file:
            file.write(f"{dataset}\n")
    gone = home() / TRASH / f".{dataset}-{secrets.token_hex(8)}"
    os.rename(home() / TRASH / dataset, gone)  # or a kill would leave a part, which cannot be deleted and is in the way
    for left in home().glob(f"{TRASH}/.{dataset}-*"):
        shutil.rmtree(left, ignore_errors=left != gone)
    remove_copies(before, named)


def _deleted_ids() -> list[str]:
    with suppress(FileNotFoundError):
        return (home() / TRASH / DELETED).read_text().split()
    return []


def _refuse_unless_trashed(dataset: str) -> None:
    """Raise DatasetError unless a dataset, by its id, is in the trash."""
    there = trashed_ids()
    if dataset not in there:
        known = f"Use the ID of one that is: {', '.join(there)}." if there else "The trash is empty."
        raise DatasetError(f"There is no dataset {dataset[:80]!r} in the trash. {known}")


def _move(source: Path, target: Path) -> None:
    if not (target / "log.jsonl").exists():  # what waited for a lock while the dataset was removed has made the folder
        with suppress(OSError):
            for name in ("lock", "incoming.lock"):
                (target / name).unlink(missing_ok=True)
            target.rmdir()
    if target.exists():
        raise DatasetError(
            f"There is already a dataset {target.name!r} in {target.parent}. Delete it permanently first."
        )
    target.parent.mkdir(exist_ok=True)
    os.rename(source, target)
