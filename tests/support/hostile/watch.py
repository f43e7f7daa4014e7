"""Records what Python does outside the folders a test owns, from the interpreter's audit events."""

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any, Self

from tests.support.served import ROOT

WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LIST_EVENTS = ("os.listdir", "os.scandir")
CHANGE_EVENTS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate")
TWO_PATH_EVENTS = ("os.rename", "os.link", "os.symlink")
START_EVENTS = (
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
    """Fills `violations` inside a `with` block.

    A violation is a write outside the `own` folders, a read outside them, Python and the project, or the start of a
    program, a connection or an unpickling.
    """

    def __init__(self, *own: Path) -> None:
        streamlit_config = str(Path.home() / ".streamlit")  # Streamlit looks for its settings there on each page run
        readable = {
            sys.prefix,
            sys.base_prefix,
            *sysconfig.get_paths().values(),
            str(ROOT),
            *sys.path,
            streamlit_config,
        }
        self.own = [os.path.realpath(path) for path in own]
        self.readable = [*self.own, *map(os.path.realpath, readable), *SYSTEM]
        self.violations: list[str] = []
        self.active = False
        sys.addaudithook(self._hook)  # Python never removes a hook

    def __enter__(self) -> Self:
        self.active = True
        return self

    def __exit__(self, *error: object) -> None:
        self.active = False

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open":
            writes = isinstance(args[2], int) and bool(args[2] & WRITE_FLAGS)
            self._check("writes" if writes else "reads", args[0], self.own if writes else self.readable)
        elif event in LIST_EVENTS:
            self._check("lists", args[0], self.readable)
        elif event in CHANGE_EVENTS:
            two = event in TWO_PATH_EVENTS
            # rmtree passes the descriptor of the open parent folder as the last argument
            has_folder = not two and event != "os.truncate" and isinstance(args[-1], int) and args[-1] >= 0
            folder = args[-1] if has_folder else None
            for path in args[: 2 if two else 1]:
                self._check(event, path if folder is None else f"/proc/self/fd/{folder}/{os.fsdecode(path)}", self.own)
        elif event in START_EVENTS:
            self.violations.append(f"{event} {args[:2]!r}")

    def _check(self, action: str, path: Any, allowed: list[str]) -> None:
        # A descriptor was checked when it was opened
        if isinstance(path, int) or path is None:
            return
        full = os.path.realpath(os.fsdecode(path))
        if not any(full == place or full.startswith(place.rstrip("/") + "/") for place in allowed):
            self.violations.append(f"{action} {full}")


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, which also reveals writes that Python's audit events miss."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}
