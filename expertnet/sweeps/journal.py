"""The journal file of a sweep, in which Optuna keeps its study. Use it only while the sweep is locked."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

JOURNAL = "journal.log"


class Journal:
    """The journal file for Optuna's storage, which waits for the disk once per flush() instead of once per line.

    It needs no lock: the sweep is locked already, and its lock ends with its process.
    """

    def __init__(self, path: Path) -> None:
        from optuna.storages.journal import JournalFileBackend

        self._path, self._file = path, JournalFileBackend(str(path))
        self._written, self._pending, self._must_last = 0, list[Any](), False
        self.is_current = False  # whether it was read since the sweep was locked
        self.can_be_restored = False  # set while lines are written that a power cut may take

    def read_logs(self, log_number_from: int) -> list[Any]:
        if self._pending:
            return self._pending[log_number_from - self._written :]
        if self.is_current and log_number_from == self._written:
            return []
        found = list(self._file.read_logs(log_number_from))
        self._written, self.is_current = log_number_from + len(found), True
        return found

    def append_logs(self, logs: list[Any]) -> None:
        self._pending += json.loads(json.dumps(logs))  # what reading the file returns
        self._must_last |= not self.can_be_restored

    def flush(self) -> None:
        """Write what was appended. Raises OSError, after which the storage must be opened again."""
        if not self._pending:
            return
        with self._path.open("ab") as file:
            file.write("".join(json.dumps(log, separators=(",", ":")) + "\n" for log in self._pending).encode())
            file.flush()
            if self._must_last:
                os.fsync(file.fileno())
        self._pending, self._must_last, self.is_current = [], False, False
        self.read_logs(self._written)  # so that the file remembers where it ended


@cache
def open_storage(path: Path) -> tuple[Any, Journal]:
    """Return the storage of a journal, which reads only what is new in the file, and the journal."""
    from optuna.storages import JournalStorage

    journal: Any = Journal(path)
    return JournalStorage(journal), journal


def repair(path: Path) -> None:
    """Drop a last line that a kill cut off."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 1, 0))
        if size and file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
