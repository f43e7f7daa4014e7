"""Which process writes a run, and whether it still lives.

In this module: this_process, process_facts, is_alive.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psutil

CLOCK_SLACK = 2.5  # seconds; the system rounds its own start to whole ones, anew at every look
HEARTBEAT_LIMIT = 60.0  # seconds; older than this, a run on another host is taken for dead


def this_process() -> dict[str, Any]:
    """Who is writing: host, pid and the start time that tells this process from a later one with its pid."""
    return dict(_this_process(os.getpid()))


@cache
def _this_process(pid: int) -> dict[str, Any]:  # by pid: a fork is another process
    return process_facts(pid)


def process_facts(pid: int) -> dict[str, Any]:
    """The same of another process of this host that runs now."""
    return {"host": socket.gethostname(), "pid": pid, "process_start": _process_start(pid), "boot": _boot()}


def _process_start(pid: int) -> float:
    """Seconds: on Linux since the machine came up, for there the wall clock, when it is set, moves what is told since 1970."""
    started = psutil.Process(pid).create_time()
    return started - psutil.boot_time() if psutil.LINUX else started


@cache
def _boot() -> str | None:
    """Names this start of the machine, since times and pids may be the same after the next; None where it has no name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def is_alive(status: Mapping[str, Any]) -> bool:
    """Whether the process that wrote a status still runs; one that was killed and not yet waited for does not."""
    if status["host"] != this_process()["host"]:
        return abs(time.time() - (status["heartbeat"] or 0)) < HEARTBEAT_LIMIT
    if status["boot"] != _boot():
        return False
    try:
        if psutil.Process(status["pid"]).status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(_process_start(status["pid"]) - status["process_start"]) < CLOCK_SLACK
    except (psutil.Error, TypeError, ValueError):
        return False
