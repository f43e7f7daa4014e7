"""Identify the process that writes a run, and tell whether it is still alive."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psutil

CLOCK_SLACK = 2.5  # seconds; psutil rounds the boot time to whole seconds, differently at each call
HEARTBEAT_LIMIT = 60.0  # seconds; a run on another host with an older heartbeat counts as dead


def this_process() -> dict[str, Any]:
    """Return host, pid, start time and boot ID of this process. The start time tells apart processes with the same pid."""
    return dict(_this_process(os.getpid()))


# Cached by pid: a forked child is another process.
@cache
def _this_process(pid: int) -> dict[str, Any]:
    return process_facts(pid)


def process_facts(pid: int) -> dict[str, Any]:
    """Return the same facts about a running process on this host."""
    return {"host": socket.gethostname(), "pid": pid, "process_start": _process_start(pid), "boot": _boot()}


def _process_start(pid: int) -> float:
    """Start time in seconds: since boot on Linux, where setting the clock shifts times since 1970; else since 1970."""
    started = psutil.Process(pid).create_time()
    return started - psutil.boot_time() if psutil.LINUX else started


@cache
def _boot() -> str | None:
    """Return an ID of the current boot, because pids and start times may recur after the next. None if unavailable."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def is_alive(status: Mapping[str, Any]) -> bool:
    """Return whether the process that wrote a status still runs. A zombie does not count as running."""
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
