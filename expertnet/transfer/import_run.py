"""Import runs that were exported elsewhere.

Archives are untrusted: unzip.py limits what is unpacked, and validation.py checks every file. A run appears in the store
completely or not at all.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from expertnet.errors import RunError
from expertnet.store.checks import find_damage
from expertnet.store.notes import NOTES_FILE, read_notes, write_notes
from expertnet.store.run import Run, now
from expertnet.store.run_store import RUN_ID, RunStore, fresh_id
from expertnet.store.trash import TRASH
from expertnet.transfer.format import CONTROL_FILES, CONTROL_NAME, MANIFEST, MAX_CONTROLS, TEXTS, WEIGHTS_NAME
from expertnet.transfer.unzip import Member, open_exports, open_zip, run_files
from expertnet.transfer.validation import (
    check_weights,
    clean_config,
    clean_epochs,
    clean_status,
    clean_text,
    one_line,
    parse_object,
)
from expertnet.utils.files import remove_leftovers, to_json

_UNFINISHED = ".import-"  # prefix of a folder that is not listed as a run


@dataclass(frozen=True)
class Imported:
    """An imported run."""

    run: Run
    original_id: str
    new: bool = True  # False if the store had the run already

    @property
    def sentence(self) -> str:
        """The outcome, for users."""
        same_id = self.run.id == self.original_id
        if not self.new:
            return f"You already have “{self.run.title}”{'' if same_id else f' as run {self.run.id}'}. Nothing was imported."
        why = "" if same_id else f", because the ID {self.original_id} is already in use"
        return f"Imported “{self.run.title}” as run {self.run.id}{why}."


def import_all(store: RunStore, file: IO[bytes], name: str) -> list[Imported | str]:
    """Import every run in a file that users call `name`. For each that cannot be imported, return an error message."""
    try:
        with _named(name):
            exports = open_exports(file, name)
    except RunError as error:
        return [str(error)]
    outcomes: list[Imported | str] = []
    for export in exports:
        try:
            outcomes.append(import_run(store, *export))
        except RunError as error:
            outcomes.append(str(error))
    return outcomes


def import_run(store: RunStore, file: IO[bytes], name: str) -> Imported:
    """Import the zip of a run that users call `name`, under its own ID if that is free.

    A run that the store already has, with the same settings and history, is not imported again. Raises RunError, and
    then changes nothing.
    """
    with _named(name):
        members = run_files(open_zip(file))
        try:
            return _import(store, members)
        except OSError as error:
            raise RunError(f"{store.root} cannot be written ({error.strerror}).") from None


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Begin each RunError with the name of the file."""
    try:
        yield
    except RunError as error:
        raise RunError(f"{one_line(name)} was not imported: {error}") from None


def _import(store: RunStore, members: dict[str, Member]) -> Imported:
    store.root.mkdir(parents=True, exist_ok=True)
    remove_leftovers(store.root, f"{_UNFINISHED}*")
    folder = store.root / f"{_UNFINISHED}{secrets.token_hex(8)}"
    folder.mkdir()
    try:
        original_id = _unpack(members, folder)
        same = _same_run(store, Run(folder), original_id)
        if same is not None:
            return Imported(same, original_id, new=False)
        run = Run(store.root / original_id)
        while os.path.lexists(run.path) or os.path.lexists(store.root / TRASH / run.id):
            run = Run(store.root / fresh_id())
        folder.rename(run.path)
        return Imported(run, original_id)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _same_run(store: RunStore, run: Run, original_id: str) -> Run | None:
    """Return the undamaged run of the store with the same creation time, settings, data and history, or None.

    It may have another ID, if it was imported too. Runs without a history also need the same ID.
    """
    for other in store.list():
        same_id, history = other.id == original_id, run.metrics()
        if (
            other.created == run.created
            and (history or same_id)
            and other.metrics() == history
            and not find_damage(other)
        ):
            with suppress(RunError):
                if clean_config(other.config())[0] == clean_config(run.config())[0]:
                    return other
    return None


def _unpack(members: dict[str, Member], folder: Path) -> str:
    """Check every file and write it to the folder. Returns the ID that the run had where it was exported."""
    texts = {name: members[name].read() for name in TEXTS if name in members}
    run_id = parse_object(texts[MANIFEST], MANIFEST).get("run")
    if not (isinstance(run_id, str) and run_id.isascii() and RUN_ID.fullmatch(run_id)):
        raise RunError(f"its {MANIFEST} has no valid run ID.")
    config, settings, info = clean_config(parse_object(texts["config.json"], "config.json"))
    status = clean_status(parse_object(texts["status.json"], "status.json"))
    contents: dict[str, bytes] = {
        "config.json": json.dumps(config | {"imported": now()}, indent=2).encode(),
        "status.json": to_json(status.model_dump()).encode(),
        "metrics.jsonl": clean_epochs(texts.get("metrics.jsonl", b""), settings, status.epoch),
        NOTES_FILE: texts.get(NOTES_FILE, b""),
        **{name: clean_text(texts[name]) + b"\n" for name in ("log.txt", "card.md") if name in texts},
    }
    for name, content in contents.items():
        if content:
            _write(folder / name, [content])
    if NOTES_FILE in texts:
        write_notes(folder, read_notes(folder))  # keeps only what could be read
    _unpack_controls(members, folder)
    weights = [name for name in members if WEIGHTS_NAME.fullmatch(name)]
    for name in weights:
        _write(folder / name, members[name].pieces())
    check_weights(folder, weights, settings, info)
    return run_id


def _unpack_controls(members: dict[str, Member], folder: Path) -> None:
    """Check the controls of the run and write them to its folder. Each has finished, because none can be resumed there."""
    names = sorted({name.rpartition("/")[0] for name in members if CONTROL_NAME.fullmatch(name)})
    if len(names) > MAX_CONTROLS:
        raise RunError(f"it contains {len(names):,} controls, and at most {MAX_CONTROLS:,} can be imported.")
    for name in names:
        config_name, status_name = files = [f"{name}/{file}" for file in CONTROL_FILES]
        if missing := [file for file in files if file not in members]:
            raise RunError(f"it has no {missing[0]}.")
        config, _, _ = clean_config(parse_object(members[config_name].read(), config_name))
        status = clean_status(parse_object(members[status_name].read(), status_name))
        if status.state != "finished" or status.test_accuracy is None:
            raise RunError(f"its {name} has not finished.")
        (folder / name).mkdir(parents=True)
        _write(folder / config_name, [json.dumps(config, indent=2).encode()])
        _write(folder / status_name, [to_json(status.model_dump()).encode()])


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with path.open("xb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())
