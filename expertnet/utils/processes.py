"""Identify the process that writes a run, and tell whether it is still alive."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Self

import psutil
from pydantic import BaseModel, ConfigDict, Field

CLOCK_SLACK = 2.5  # seconds; the boot time is rounded to whole seconds, differently at each call
HEARTBEAT_LIMIT = 60.0  # seconds; a run on another host with an older heartbeat counts as dead
RENEW_AFTER = 20.0  # seconds between two heartbeats of a process that has nothing else to write


class Process(BaseModel):
    """Facts that tell a process from a later one with the same pid. All are None for no process."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    host: str | None = None
    pid: Annotated[int, Field(ge=0, le=2**31)] | None = None
    # Seconds since 1970, but on Linux since boot, because setting the clock shifts times since 1970.
    process_start: float | None = None
    boot: str | None = None  # ID of the current boot, because pids and start times recur; None if unavailable
    heartbeat: float | None = None  # time of the last write, seconds since 1970; only other hosts need it

    def beating(self) -> Self:
        """Return a copy with a heartbeat of now."""
        return self.model_copy(update={"heartbeat": time.time()})

    @property
    def is_fresh(self) -> bool:
        """Return whether the heartbeat is at most HEARTBEAT_LIMIT old, or as far ahead, because clocks differ."""
        return abs(time.time() - (self.heartbeat or 0)) < HEARTBEAT_LIMIT

    @property
    def is_here(self) -> bool:
        return self.host == this_process().host

    @property
    def is_this(self) -> bool:
        """Return whether this is the current process."""
        me = this_process()
        return (self.host, self.pid, self.process_start, self.boot) == (me.host, me.pid, me.process_start, me.boot)


def this_process() -> Process:
    return _this_process(os.getpid())


# Cached by pid, because a fork is another process.
@cache
def _this_process(pid: int) -> Process:
    return process_facts(pid)


def process_facts(pid: int) -> Process:
    """Describe a running process of this host."""
    return Process(host=socket.gethostname(), pid=pid, process_start=_process_start(pid), boot=_boot())


def _process_start(pid: int) -> float:
    started = psutil.Process(pid).create_time()
    return started - psutil.boot_time() if psutil.LINUX else started


@cache
def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def is_alive(process: Process) -> bool:
    """Return whether a process is still running. A zombie is not."""
    if not process.is_here:
        return process.is_fresh
    if process.is_this:  # known without asking the system, which takes longer
        return True
    if process.boot != _boot() or process.pid is None or process.process_start is None:
        return False
    try:
        if psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(_process_start(process.pid) - process.process_start) < CLOCK_SLACK
    except psutil.Error:
        return False


@contextmanager
def renewing(renew: Callable[[], object]) -> Iterator[None]:
    """Call `renew`, which writes heartbeats of this process, from a thread again and again.

    Neither epochs nor waits have a fixed length, so they cannot do it.
    """
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(RENEW_AFTER):
            with suppress(OSError):  # whatever else is written there reports it
                renew()

    thread = threading.Thread(target=work, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
