"""Processes that train: how they start, and how they end when they have to."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import psutil

from expertnet.errors import RunError
from expertnet.utils.processes import is_alive, process_facts

TICK = 0.2  # seconds between two looks at a process or a queue
GRACE = 4.0  # seconds that an interrupted training has to end


def start_process(
    module: str,
    *arguments: str,
    log: Path | None = None,
    tells: bool = False,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[bytes]:
    """Start a module in a process of its own. Its standard error, such as a crash, goes to the log if given.

    The caller reads the output of one that `tells`. Raises RunError if that fails.
    """
    # the working directory stays, because relative paths such as EXPERTNET_DATA count from it; -P keeps its modules out
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        with log.open("ab") if log else nullcontext() as errors:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if tells else subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,  # Ctrl-C in the server's terminal does not stop it
            )
    except OSError as error:
        raise RunError(
            f"The training process could not start ({error.strerror}). Close other programs, and start the run again."
        ) from None


class Interruptible(Protocol):
    def interrupt(self) -> None: ...


def interrupt_or_exit(stop: Interruptible) -> None:
    """Interrupt a training, and exit the process if that takes longer than GRACE. For SIGTERM."""
    stop.interrupt()
    timer = threading.Timer(GRACE, os._exit, (128 + signal.SIGTERM,))
    timer.daemon = True
    timer.start()


def end_with(pid: int, stop: Interruptible) -> bool:
    """Interrupt a training when this process gets SIGTERM or the one with that pid ends. Returns False if it has ended."""
    try:
        server = process_facts(pid)
    except psutil.Error:
        return False
    signal.signal(signal.SIGTERM, lambda *_: interrupt_or_exit(stop))

    def watch() -> None:
        while is_alive(server):
            time.sleep(TICK)
        interrupt_or_exit(stop)

    threading.Thread(target=watch, name="watch", daemon=True).start()
    return True
