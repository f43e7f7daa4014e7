"""The index of a store on disk, `.index.sqlite`: what each run's row says, so that a server reads only the runs that changed.

It is a cache. The runs' files are the truth: an entry counts only if their versions are still the same. A missing, damaged or
locked index costs time alone, so no error leaves this module.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from expertnet import __version__
from expertnet.settings.fields import flat
from expertnet.settings.schema import Settings

INDEX_FILE = ".index.sqlite"
BUSY = 2.0  # seconds to wait for another process that writes
FORMAT = 1  # of the entries

Entry = tuple[str, dict[str, Any]]  # the version of a run's files, and its row


def load_index(root: Path) -> dict[str, Entry]:
    """Return the entries by run id; none if there is no usable index."""
    found: dict[str, Entry] = {}
    path = root / INDEX_FILE
    if not path.is_file():
        return found
    try:
        with closing(_connect(path)) as index:
            if index.execute("PRAGMA user_version").fetchone()[0] == _format():
                for run_id, version, row in index.execute("SELECT id, version, row FROM runs"):
                    with suppress(ValueError, TypeError):
                        found[run_id] = version, json.loads(row)
    except sqlite3.OperationalError:  # locked, or not readable
        return {}
    except sqlite3.DatabaseError:
        _delete(path)
        return {}
    return found


def save_index(root: Path, changed: Mapping[str, Entry], gone: Iterable[str]) -> None:
    """Write the entries that have changed and delete those of runs that are gone."""
    path = root / INDEX_FILE
    try:
        with closing(_connect(path)) as index, index:
            if index.execute("PRAGMA user_version").fetchone()[0] != _format():
                index.execute("DROP TABLE IF EXISTS runs")
                index.execute(f"PRAGMA user_version = {_format()}")
            index.execute("CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, version TEXT, row TEXT)")
            rows = [(run_id, version, json.dumps(row)) for run_id, (version, row) in changed.items()]
            index.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", rows)
            index.executemany("DELETE FROM runs WHERE id = ?", [(run_id,) for run_id in gone])
    except sqlite3.OperationalError:
        return
    except sqlite3.DatabaseError:
        _delete(path)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY)


def _delete(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _format() -> int:
    """Return a number that changes with the version of the program and its settings."""
    text = json.dumps([FORMAT, __version__, flat(Settings())], default=str)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], signed=True)
