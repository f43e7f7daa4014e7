"""Runs that were exported elsewhere, taken into a store.

In this module: exports_in (a file), import_run, import_all, Imported. An archive comes from a stranger: only names of a run's files
are taken, each is counted while it is unpacked and checked by run_contents.py, and the run stands in the store as a whole or not
at all.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from expertnet.errors import RunError
from expertnet.store.notes import FILE as NOTES
from expertnet.store.notes import read_notes, write_notes
from expertnet.store.run import RUN_ID, TRASH, Run, fresh_id, now
from expertnet.store.run_store import RunStore
from expertnet.transfer.validation import (
    MANIFEST,
    MAX_FILES,
    MAX_UNPACKED,
    MOST_EXPORTS,
    TEXTS,
    WEIGHTS_NAME,
    check_weights,
    clean_config,
    clean_epochs,
    clean_status,
    clean_text,
    one_line,
    parse_object,
)
from expertnet.utils.files import remove_leftovers, to_json

_UNFINISHED = ".import-"  # begins the name of a folder that no page lists
_PIECE = 2**20  # bytes unpacked at a time
_END = b"PK\5\6"  # the record with which a zip ends
_BIG_END = b"PK\6\7"  # the one before it in a zip of more than 4 GiB
_WHAT_TO_DO = "export the run anew, and import that file as it is."


@dataclass(frozen=True)
class Imported:
    run: Run
    was: str  # its id where it came from
    new: bool = True  # False: the store had it already, and nothing was made

    @property
    def sentence(self) -> str:
        """What became of it, for the person who imported it."""
        if not self.new:
            under = f", as run {self.run.id}" if self.run.id != self.was else ""
            return f"{self.run.title} is here already{under}; nothing was imported."
        if self.run.id == self.was:
            return f"Imported {self.run.title} as run {self.run.id}."
        return f"Imported {self.run.title} as run {self.run.id}, because another run here has the id {self.was}."


def exports_in(file: IO[bytes], name: str) -> list[tuple[IO[bytes], str]]:
    """The exports in what a person calls `name`, each with a name of its own: those of run_exports.export_runs, or else the file itself.

    Raises RunError where it is no zip. Nothing is unpacked: what is packed in another way is none of those.
    """
    try:
        archive = _opened(file)
        members = archive.infolist()
        if not members or not all(_is_export(member) for member in members):
            return [(file, name)]
        if len(members) > MOST_EXPORTS:
            raise RunError(f"it holds {len(members):,} runs, and at most {MOST_EXPORTS} are imported at once.")
        return [(_inside(archive, member), f"{member.filename} in {name}") for member in members]
    except RunError as error:
        raise RunError(f"{one_line(name)} was not imported: {error}") from None


def import_all(store: RunStore, file: IO[bytes], name: str) -> list[Imported | str]:
    """Imports every export in a file; one that is refused does not keep the others out, and has its sentence in their place."""
    try:
        exports = exports_in(file, name)
    except RunError as error:
        return [str(error)]
    done: list[Imported | str] = []
    for export in exports:
        try:
            done.append(import_run(store, *export))
        except RunError as error:
            done.append(str(error))
    return done


def _is_export(member: zipfile.ZipInfo) -> bool:
    stored = member.compress_type == zipfile.ZIP_STORED and member.file_size == member.compress_size
    run_id = member.filename.removeprefix("run-").removesuffix(".zip")
    return stored and not member.flag_bits & 1 and bool(RUN_ID.fullmatch(run_id))


def _inside(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(member)
    except Exception:  # zipfile raises many kinds for what is damaged
        raise RunError(f"its {member.filename} is damaged; {_WHAT_TO_DO}") from None


def import_run(store: RunStore, file: IO[bytes], name: str) -> Imported:
    """Takes an export into the store, under its own id where that is free. Raises RunError, and then leaves nothing behind.

    A run that the store has already, with the same settings and epochs, is not made again. `name` is what the person calls the file.
    """
    try:
        members = _members(_opened(file))
        store.root.mkdir(parents=True, exist_ok=True)
        remove_leftovers(store.root, f"{_UNFINISHED}*")
        folder = store.root / f"{_UNFINISHED}{secrets.token_hex(8)}"
        folder.mkdir()
        try:
            was = _unpack(members, folder)
            same = _same(store, Run(folder), was)
            if same is not None:
                return Imported(same, was, new=False)
            run = Run(store.root / was)
            while os.path.lexists(run.path) or os.path.lexists(store.root / TRASH / run.id):
                run = Run(store.root / fresh_id())
            folder.rename(run.path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except RunError as error:
        raise RunError(f"{one_line(name)} was not imported: {error}") from None
    except OSError as error:
        raise RunError(
            f"{one_line(name)} was not imported: {store.root} cannot be written ({error.strerror})."
        ) from None
    return Imported(run, was)


def _same(store: RunStore, run: Run, was: str) -> Run | None:
    """A sound run of the store that was created at the same time, with the same settings and data, and has the same epochs.

    It may have another id, if it was imported too; without epochs, which no two trainings share, the id has to say it.
    """
    for other in store.list():
        if other.created != run.created or not (run.metrics() or other.id == was):
            continue
        if other.metrics() == run.metrics() and not other.damage():
            try:
                if clean_config(other.config())[0] == clean_config(run.config())[0]:
                    return other
            except RunError:
                continue
    return None


def _opened(file: IO[bytes]) -> zipfile.ZipFile:
    """Raises RunError for what is no zip, or has a listing that would fill the memory."""
    try:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 42, 0))
        end = file.read(42)
        listing = int.from_bytes(end[-10:-6], "little")
        if end[-22:-18] != _END or end[-2:] != b"\0\0" or end.startswith(_BIG_END) or listing > 200 * MAX_FILES:
            raise ValueError("a listing that would fill the memory, or none")
        return zipfile.ZipFile(file)
    except Exception:  # zipfile raises many kinds for what is none
        raise RunError(f"it is not a zip file or is damaged; {_WHAT_TO_DO}") from None


def _members(archive: zipfile.ZipFile) -> dict[str, _Member]:
    """The archive's members by name, none read yet: all of them plain files with names of a run's, within the limits."""
    members: dict[str, _Member] = {}
    for member in archive.infolist():
        name = member.filename
        limit = TEXTS.get(name, MAX_UNPACKED if WEIGHTS_NAME.fullmatch(name) else 0)
        is_plain = stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG) and not member.flag_bits & 1
        packed_as_known = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if not (limit and is_plain and packed_as_known):
            raise RunError(f"it holds {one_line(name, 80)!r}, which is no file of an exported run; {_WHAT_TO_DO}")
        if name in members:
            raise RunError(f"it holds two files named {name}; {_WHAT_TO_DO}")
        if member.file_size > limit:
            raise RunError(f"its {name} unpacks to more than the {limit:,} bytes allowed.")
        members[name] = _Member(archive, member)
    missing = [name for name in (MANIFEST, "config.json", "status.json") if name not in members]
    if missing:
        raise RunError(f"it has no {missing[0]}, so it is no exported run; {_WHAT_TO_DO}")
    if sum(member.size for member in members.values()) > MAX_UNPACKED or len(members) > MAX_FILES:
        raise RunError(f"it unpacks to more than the {MAX_UNPACKED >> 30} GiB allowed.")
    return members


@dataclass(frozen=True)
class _Member:
    """A file in the archive; what it unpacks to is counted, whatever the archive says of it."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    @property
    def size(self) -> int:
        return self.info.file_size

    def pieces(self) -> Iterator[bytes]:
        done = 0
        while done < self.size:
            try:
                if not done:
                    file = self.archive.open(self.info)
                piece = file.read(min(_PIECE, self.size - done))
            except Exception:  # as above
                piece = b""
            if not piece:
                raise RunError(f"its {self.info.filename} is damaged or cut off; {_WHAT_TO_DO}")
            done += len(piece)
            yield piece

    def read(self) -> bytes:
        return b"".join(self.pieces())


def _unpack(members: dict[str, _Member], folder: Path) -> str:
    """Checks every file and writes it into the folder; gives the id that the run had."""
    texts = {name: members[name].read() for name in TEXTS if name in members}
    was = parse_object(texts[MANIFEST], MANIFEST).get("run")
    if not (isinstance(was, str) and was.isascii() and RUN_ID.fullmatch(was)):
        raise RunError(f"its {MANIFEST} names no run.")
    config, settings, info = clean_config(parse_object(texts["config.json"], "config.json"))
    status = clean_status(parse_object(texts["status.json"], "status.json"))
    metrics = clean_epochs(texts.get("metrics.jsonl", b""), settings, status.epoch)
    written: dict[str, bytes] = {
        "config.json": json.dumps(config | {"imported": now()}, indent=2).encode(),
        "status.json": to_json(status.model_dump()).encode(),
    }
    if metrics:
        written["metrics.jsonl"] = metrics
    written |= {name: clean_text(texts[name]) + b"\n" for name in ("log.txt", "card.md") if name in texts}
    for name, content in written.items():
        _write(folder / name, [content])
    if NOTES in texts:
        _write(folder / NOTES, [texts[NOTES]])
        write_notes(folder, read_notes(folder))  # what they read of it, and nothing else
    weights = [name for name in members if name not in TEXTS]
    for name in weights:
        _write(folder / name, members[name].pieces())
    check_weights(folder, weights, settings, info)
    return was


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with path.open("xb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
