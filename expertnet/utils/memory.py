"""The memory of this process: what is free, and when freed memory returns to the system."""

import ctypes
import platform
from collections.abc import Mapping
from pathlib import Path

import psutil

GLIBC = platform.libc_ver()[0] == "glibc"
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # options of mallopt
KEEP_FREED = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1}
GLIBC_DEFAULTS = {M_MMAP_MAX: 65_536, M_TRIM_THRESHOLD: 2**17}
# Of control groups of version 2 and 1: folder, limit, use, and what is used for cached files, which can be dropped
CGROUPS = {
    "": ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def free_memory() -> int:
    """Return the bytes that this process can still use, by the machine and by every limit of its container or service."""
    return min([psutil.virtual_memory().available, *container_memory()])


def container_memory(root: Path = Path("/")) -> list[int]:
    """Return the bytes that each memory limit of this process leaves it, such as the limit of a container or service."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return []
    left = []
    for controllers, path in (line.split(":", 2)[1:] for line in lines):
        if controllers not in CGROUPS:
            continue
        place, limit, usage, cache = CGROUPS[controllers]
        mount, group = root / place, root / place / path.strip("/")
        for folder in (group, *group.parents):  # limits apply below; a container sees its own group as the mount
            if not folder.is_relative_to(mount):
                break
            try:
                most, used = (int((folder / name).read_text()) for name in (limit, usage))
                counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                left.append(most - used + int(counts[cache]))
            except (OSError, ValueError):  # no group, or "max", which is no limit
                continue
    return left


def keep_freed_memory() -> None:
    """Make glibc reuse freed memory in this process until `release_freed_memory`, at the price of a higher peak.

    By default glibc returns each large tensor to the system and faults it in again page by page, which takes much of
    a training step with large feature maps.
    """
    _set_memory_options(KEEP_FREED)


def release_freed_memory() -> None:
    """Return freed memory to the system, now and from now on."""
    _set_memory_options(GLIBC_DEFAULTS)
    trim_memory()


def trim_memory() -> None:
    """Return freed memory to the system now. Otherwise each thread may keep what it has freed for itself."""
    if GLIBC:
        ctypes.CDLL(None).malloc_trim(0)


def _set_memory_options(options: Mapping[int, int]) -> None:
    if GLIBC:
        for option, value in options.items():
            ctypes.CDLL(None).mallopt(option, value)
