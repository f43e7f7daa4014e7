"""The database of an index in memory, and its copy on disk, `.index.sqlite`, from which the next server starts.

The copy is a cache. The runs' files are the truth: an entry counts only while their versions are the same. A missing, damaged or
locked copy costs time alone, so no error leaves this module.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from expertnet import __version__
from expertnet.settings.fields import flat
from expertnet.settings.schema import Settings
from expertnet.store.rows import COLUMNS

INDEX_FILE = ".index.sqlite"
COMPUTED = 2  # raise it if a column is computed in another way
BUSY = 2.0  # seconds to wait for another process that writes
ALL = ("folder", "version", "live", "searched", "tag_lines", *COLUMNS)
TABLE = f"runs (id TEXT PRIMARY KEY, {', '.join(ALL)})"
INSERT = f"INSERT OR REPLACE INTO runs VALUES (?{', ?' * len(ALL)})"
DELETE = "DELETE FROM runs WHERE id = ?"


def open_database(root: Path) -> sqlite3.Connection:
    """Return a database in memory with the entries on disk; empty if there is no usable copy."""
    database = sqlite3.connect(":memory:", timeout=BUSY, check_same_thread=False, isolation_level=None)
    database.execute(f"CREATE TABLE {TABLE}")
    path = root / INDEX_FILE
    if not path.is_file():
        return database
    try:
        database.execute("ATTACH ? AS disk", (str(path),))
        if database.execute("PRAGMA disk.user_version").fetchone()[0] == _format():
            database.execute("INSERT INTO runs SELECT * FROM disk.runs")
    except sqlite3.DatabaseError as error:
        _delete_if_damaged(path, error)
    with suppress(sqlite3.Error):
        database.execute("DETACH disk")
    return database


def save_entries(root: Path, changed: Iterable[tuple[Any, ...]], gone: Iterable[str]) -> None:
    """Write the entries that have changed to the disk, and delete those of runs that are gone."""
    path = root / INDEX_FILE
    try:
        with closing(sqlite3.connect(path, timeout=BUSY)) as disk, disk:
            if disk.execute("PRAGMA user_version").fetchone()[0] != _format():
                disk.execute("DROP TABLE IF EXISTS runs")
                disk.execute(f"PRAGMA user_version = {_format()}")
            disk.execute(f"CREATE TABLE IF NOT EXISTS {TABLE}")
            disk.executemany(INSERT, changed)
            disk.executemany(DELETE, [(run_id,) for run_id in gone])
    except sqlite3.DatabaseError as error:
        _delete_if_damaged(path, error)


def _delete_if_damaged(path: Path, error: sqlite3.DatabaseError) -> None:
    """Delete the copy, unless it only is locked or cannot be opened or written."""
    if not isinstance(error, sqlite3.OperationalError) or error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
        with suppress(OSError):
            path.unlink()


def _format() -> int:
    """Return a number that changes with the version of the program, its settings, and the columns and how they are computed."""
    text = json.dumps([TABLE, __version__, flat(Settings()), COMPUTED], default=str)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], signed=True)
