"""One row per run, for tables, filters and comparisons of thousands of runs. A run is read again only when a file of it changes."""

import hashlib
import math
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from expertnet.store.index_file import DELETE, INSERT, open_database, save_entries
from expertnet.store.rows import COLUMNS, FILES, RunRow, from_values, read_row, to_values
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES
from expertnet.utils.files import cached_on, version_of
from expertnet.utils.text import cut

STORES = 8  # whose indexes stay in memory
CHECKED = 200  # runs whose files are all looked at each time
SETTLED = 2.0  # seconds after which a change of a folder has another time than the next one
PATIENCE, FEWEST = 1.0, 100  # seconds that a page reads changed runs, and runs that it reads anyway
ORDERS = {  # rows without a value come last, and the newest first among equals
    "newest": "id DESC",
    "oldest": "id",
    "best validation": "CASE WHEN watches_test THEN NULL ELSE best END DESC, id DESC",
    "best test": "test DESC, id DESC",
    "name": "searched, id DESC",
}
TRAINED, READABLE, OWN, ENDED = (  # conditions
    "network != ''",  # has a trained network
    "key != ''",  # its settings can be read
    "NOT shipped",
    f"state NOT IN ({', '.join(map(repr, sorted(ACTIVE_STATES)))})",
)
MIN_ID_PART = 4  # characters of an id that a search needs, because every id contains most single digits
MOST_WORDS = 100  # of a search; the database refuses conditions of more than 1,000 parts
LONGEST = 40  # characters of a title in a legend or a column header


class RunIndex:
    """The rows of a store, in a database in memory. Any thread may use it.

    Queries take SQL conditions, such as TRAINED, and keywords: `text` (each of its first MOST_WORDS words
    occurs), `tag` (one of them), `without_tag`, and for a column the values of which it has one. None means any.
    """

    def __init__(self, store: RunStore) -> None:
        self._store, self._lock, self._turn = store, threading.RLock(), 0
        self._database = open_database(store.root)
        weakref.finalize(self, self._database.close)
        found = self._database.execute("SELECT id, folder, version FROM runs")
        self._known: dict[str, tuple[str, str]] = {run_id: (folder, version) for run_id, folder, version in found}
        self._paths: dict[str, str] = {}
        self.unread = 0  # runs that have changed and could not be read in time

    # -- queries

    def rows(self, *conditions: str, order: str = "newest", limit: int = -1, **which: Any) -> list[RunRow]:
        """Return the rows in one of ORDERS, at most `limit`."""
        where, values = _where(conditions, **which)
        by = ORDERS.get(order, ORDERS["newest"])
        query = f"SELECT id, {', '.join(COLUMNS)} FROM runs WHERE {where} ORDER BY {by} LIMIT ?"
        with self._lock:
            found = self._database.execute(query, (*values, limit)).fetchall()
            return [self._row(run_id, row) for run_id, *row in found]

    def _row(self, run_id: str, values: list[Any]) -> RunRow:
        run = Run(Path(self._paths[run_id]))
        row = from_values(run, values)
        if row is None:  # the copy on disk was damaged
            self._known[run_id] = "", ""
        return row or read_row(run)

    def count(self, *conditions: str, **which: Any) -> int:
        where, values = _where(conditions, **which)
        with self._lock:
            return int(self._database.execute(f"SELECT COUNT(*) FROM runs WHERE {where}", values).fetchone()[0])

    def values(self, column: str) -> set[str]:
        """Return the values that occur in a column, without "". Those of "tags" are single tags."""
        with self._lock:
            found = [str(value) for (value,) in self._database.execute(f"SELECT DISTINCT {column} FROM runs")]
        return {part for value in found for part in (value.split("\n") if column == "tags" else [value]) if part}

    # -- keeping up to date

    def look(self, within: float = math.inf) -> None:
        """Bring the rows up to date. After `within` seconds no further run is read, and the newest ones come first.

        Of many runs, the folders tell which ones have changed: all that the program writes replaces files. CHECKED of them are
        checked file by file each time, in turn, because an editor may write into a file.
        """
        with self._lock:
            self._paths = paths = self._store.paths()
            end, read = time.monotonic() + within, 0
            stale, touched = self._changed()
            for run_id in stale:
                if read >= FEWEST and time.monotonic() > end:
                    break
                self._read(run_id)
                read += 1
            self.unread = len(stale) - read
            lost = list(self._known.keys() - paths.keys())
            for run_id in lost:
                del self._known[run_id]
            self._database.executemany(DELETE, [(run_id,) for run_id in lost])
            self._save([*stale[:read], *touched], lost)
            self._update_states()

    def _changed(self) -> tuple[list[str], list[str]]:
        """Return the runs that must be read, the newest first, and those of which only the folder is another."""
        ids, now, stale, touched = list(self._paths), time.time(), list[str](), list[str]()
        in_turn = set([*ids, *ids][self._turn : self._turn + CHECKED])
        self._turn = (self._turn + CHECKED) % max(len(ids), 1)
        for run_id, path in self._paths.items():
            folder, known = _folder(path, now), self._known.get(run_id)
            if known is None:
                stale.append(run_id)
            elif folder != known[0] or not folder or run_id in in_turn:
                if _version(path) != known[1]:
                    stale.append(run_id)
                elif folder != known[0]:
                    self._known[run_id] = folder, known[1]
                    self._database.execute("UPDATE runs SET folder = ? WHERE id = ?", (folder, run_id))
                    touched.append(run_id)
        return stale, touched

    def _read(self, run_id: str) -> None:
        path = self._paths[run_id]
        folder, version = _folder(path, time.time()), _version(path)
        row = read_row(Run(Path(path)))
        tags = "\n".join(row.tags).casefold()
        searched = "\n".join((row.title, row.dataset, row.preset, row.note, tags)).casefold()
        own = (run_id, folder, version, row.active, searched, f"\n{tags}\n")
        self._database.execute(INSERT, (*own, *to_values(row)))
        self._known[run_id] = folder, version

    def _save(self, changed: list[str], lost: list[str]) -> None:
        """Write what has changed to the disk, but for active runs, which change all the time, and included ones."""
        root = f"{self._store.root}{os.sep}"
        kept = [run_id for run_id in changed if self._paths[run_id].startswith(root)]
        query = "SELECT * FROM runs WHERE id = ? AND NOT live"
        entries = [entry for run_id in kept for entry in self._database.execute(query, (run_id,))]
        if entries or lost:
            save_entries(self._store.root, entries, lost)

    def _update_states(self) -> None:
        """See whether the runs that were active when they were read still are."""
        for run_id, state in self._database.execute("SELECT id, state FROM runs WHERE live").fetchall():
            now = Run(Path(self._paths[run_id])).state
            if now != state:
                self._database.execute("UPDATE runs SET state = ? WHERE id = ?", (now, run_id))


def open_index(store: RunStore, within: float = PATIENCE) -> RunIndex:
    """Return the index of a store, up to date but for what cannot be read `within` so many seconds."""
    index = _opened(store.root, store.folders)
    index.look(within)
    return index


@lru_cache(maxsize=STORES)
def _opened(root: Path, folders: tuple[Path, ...]) -> RunIndex:
    return RunIndex(RunStore(root, folders))


def run_rows(store: RunStore, *conditions: str, **which: Any) -> list[RunRow]:
    """Return the rows of a store, as RunIndex.rows() does, however long it takes to read what has changed."""
    return open_index(store, math.inf).rows(*conditions, **which)


def rows_of(runs: Iterable[Run]) -> list[RunRow]:
    """Return a row for each of a few runs, of any store. Whether an active run is still alive is checked every time."""
    rows = [_cached_row(run.path) for run in runs]
    return [replace(row, state=row.run.state) if row.active else row for row in rows]


@cached_on(lambda path: _version(str(path)), maxsize=500)
def _cached_row(path: Path) -> RunRow:
    return read_row(Run(path))


def _where(
    conditions: Sequence[str],
    text: str = "",
    tag: Collection[str] | None = None,
    without_tag: str = "",
    **columns: Collection[str] | None,
) -> tuple[str, list[str]]:
    """Return what rows must satisfy as SQL, and the values in it."""
    parts, values = ["1", *conditions], list[str]()
    for word in text.casefold().split()[:MOST_WORDS]:
        parts.append(f"(instr(searched, ?) OR instr(id, ?) AND {len(word) >= MIN_ID_PART})")
        values += [word, word]
    if tag is not None:
        parts.append(f"({' OR '.join('instr(tag_lines, ?)' for _ in tag) or 0})")
        values += [f"\n{each.casefold()}\n" for each in tag]
    if without_tag:
        parts.append("NOT instr(tag_lines, ?)")
        values.append(f"\n{without_tag.casefold()}\n")
    for column, wanted in columns.items():
        if wanted is not None:
            parts.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    return " AND ".join(parts), values


def _folder(path: str, now: float) -> str:
    """Return the version of a folder; "" if it changed a moment ago, and may do so again at the same time of a coarse clock."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_mtime_ns} {status.st_ino}" if now - status.st_mtime > SETTLED else ""


def _version(folder: str) -> str:
    """Return the versions of the files and of the folder."""
    versions: list[object] = []
    for path in (folder, *(f"{folder}/{name}" for name in FILES)):  # a Path would take longer than the system call
        try:
            versions.append(version_of(path))
        except OSError:
            versions.append(None)
    return hashlib.blake2b(repr(versions).encode(), digest_size=12).hexdigest()


def row_labels(rows: Sequence[RunRow], longest: int = LONGEST) -> dict[str, str]:
    """Return a unique label for each run, by id: its title, cut to `longest` characters, with part of the id if needed."""
    titles = {row.id: cut(row.title, longest) for row in rows}
    alike = Counter(titles.values())
    short = {run_id: title if alike[title] == 1 else f"{title} · {run_id[-4:]}" for run_id, title in titles.items()}
    count = Counter(short.values())
    return {run_id: text if count[text] == 1 else f"{titles[run_id]} · {run_id}" for run_id, text in short.items()}
