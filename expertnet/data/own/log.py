"""A log whose lines are JSON: it only grows, and a kill at any instant leaves its whole lines."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from expertnet.errors import DatasetError
from expertnet.utils.files import FULL


class FullDiskError(DatasetError):
    """The disk has no room."""


def lines(log: Path) -> Iterator[Any]:
    """Yield the values of the whole lines of a log; a kill may have torn the last one. Raises DatasetError or OSError."""
    try:
        with log.open("rb") as file:  # never all of it in memory
            for line in file:
                if line.endswith(b"\n"):
                    yield from_json(line)
    except ValueError:
        raise damaged(log) from None


def damaged(log: Path) -> DatasetError:
    """Return the error to raise for lines that are no JSON, or none of the kind that belongs there."""
    return DatasetError(f"{log} is damaged. Restore it from a backup; the images beside it are intact.")


def append_line(path: Path, value: object) -> None:
    """Append JSON as a line, and take away a line that a kill has torn. Raises DatasetError if the disk is full, or OSError."""
    line = json.dumps(value).encode() + b"\n"
    end = _end_of_lines(path) if path.exists() else 0
    with path.open("r+b" if path.exists() else "xb") as file:
        try:
            file.truncate(end)
            file.seek(end)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                os.truncate(path, end)
            if error.errno in FULL:
                raise FullDiskError("The disk is full. Free some space, then repeat the change.") from error
            raise


def _end_of_lines(path: Path) -> int:
    """Return the size of a log without a torn last line."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return 0
        file.seek(-1, os.SEEK_END)
        if file.read() == b"\n":
            return file.tell()
    return path.read_bytes().rfind(b"\n") + 1
