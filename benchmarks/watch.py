"""What Python opens, lists, makes or removes where it should not, told by the interpreter's own audit events.

In this module: Watch.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LISTS = ("os.listdir", "os.scandir")
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate")
TWO_PATHS = ("os.rename", "os.link", "os.symlink")
RUNS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "socket.connect",
    "pickle.find_class",
    "compile.eval",
)
SYSTEM = (
    "/proc",
    "/sys",
    "/usr",
    "/lib",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/apache2",
    "/dev/null",
    "/dev/urandom",
)


class Watch:
    """Between `with watch:` and its end, notes every file outside `own` that is written, or read though it is no part of Python
    or of the project, and everything that is started."""

    def __init__(self, *own: Path) -> None:
        configuration = str(Path.home() / ".streamlit")  # Streamlit's own, which it looks for at every run
        parts = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), str(ROOT), configuration}
        self.own = [os.path.realpath(path) for path in own]
        settings = os.path.realpath(Path.home() / ".streamlit")  # where Streamlit looks for its own, at every page
        self.readable = [*self.own, *map(os.path.realpath, parts), settings, *SYSTEM]
        self.noted: list[str] = []
        self.on = False
        sys.addaudithook(self._see)

    def __enter__(self) -> Watch:
        self.on = True
        return self

    def __exit__(self, *error: object) -> None:
        self.on = False

    def _see(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            writes = isinstance(args[2], int) and bool(args[2] & WRITES)
            self._check("writes" if writes else "reads", args[0], self.own if writes else self.readable)
        elif event in LISTS:
            self._check("lists", args[0], self.readable)
        elif event in CHANGES:
            two = event in TWO_PATHS
            folder = (
                args[-1] if not two and isinstance(args[-1], int) and args[-1] >= 0 else None
            )  # an open one, as rmtree has
            for path in args[: 2 if two else 1]:
                self._check(event, path if folder is None else f"/proc/self/fd/{folder}/{os.fsdecode(path)}", self.own)
        elif event in RUNS:
            self.noted.append(f"{event} {args[:2]!r}")

    def _check(self, what: str, path: Any, allowed: list[str]) -> None:
        if isinstance(path, int) or path is None:  # opened before, and seen then
            return
        full = os.path.realpath(os.fsdecode(path))
        if not any(full == place or full.startswith(place.rstrip("/") + "/") for place in allowed):
            self.noted.append(f"{what} {full}")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content: what was written by something other than Python shows too."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="expertnet-hostile-")
