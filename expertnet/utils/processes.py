"""Identifies the process that writes a run, and tells whether it is alive."""

from __future__ import annotations

import os
import socket
import time
from functools import cache
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import BaseModel, ConfigDict, Field

CLOCK_SLACK = 2.5  # seconds; the system rounds its own start to whole ones, anew at every look
HEARTBEAT_LIMIT = 60.0  # seconds; older than this, a run on another host is taken for dead


class Process(BaseModel):
    """A process, by facts that tell it from a later one with the same pid; all None for no process."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    host: str | None = None
    pid: Annotated[int, Field(ge=0, le=2**31)] | None = None
    process_start: float | None = (
        None  # seconds; on Linux since boot, since setting the clock changes the time since 1970
    )
    boot: str | None = None  # identifies this start of the machine; None where the system has no name for it
    heartbeat: float | None = None  # when it last wrote, seconds since 1970; only other hosts need it

    def beating(self) -> Process:
        """Returns the same process with a heartbeat of now."""
        return self.model_copy(update={"heartbeat": time.time()})


def this_process() -> Process:
    return _this_process(os.getpid())


@cache
def _this_process(pid: int) -> Process:  # by pid: a fork is another process
    return process_facts(pid)


def process_facts(pid: int) -> Process:
    """Describes a running process of this host."""
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
    """Whether a process is still running. A killed one that its parent has not waited for yet is not."""
    if process.host != this_process().host:
        return abs(time.time() - (process.heartbeat or 0)) < HEARTBEAT_LIMIT
    if process.boot != _boot() or process.pid is None or process.process_start is None:
        return False
    try:
        if psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(_process_start(process.pid) - process.process_start) < CLOCK_SLACK
    except psutil.Error:
        return False
