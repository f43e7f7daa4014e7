"""Which device a run uses, what it is called, and in which number format it computes.

In this module: resolve_device, resolve_precision, device_name, device_memory, available_memory, keep_freed_memory, release_freed_memory,
available_threads.
"""

from __future__ import annotations

import ctypes
import os
import platform

import psutil
import torch

from expertnet.errors import SettingsError

GLIBC = platform.libc_ver()[0] == "glibc"
MEMORY_OPTIONS = {"M_MMAP_MAX": (-4, 0, 65_536), "M_TRIM_THRESHOLD": (-1, 2**31 - 1, 2**17)}  # number, kept, as it was


def resolve_device(name: str) -> torch.device:
    """ "auto" -> the first accelerator there is; a device that is not there raises SettingsError."""
    if name == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    device = torch.device(name)
    there = {
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }[device.type]
    if not there:
        raise SettingsError(
            f"hardware.device cannot be {name!r} on this machine, which has no such device; auto takes what there is."
        )
    return device


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """ "auto" -> bfloat16 where the device multiplies in it natively, else float32."""
    if name == "auto":
        if device.type == "cuda":
            name = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
        else:
            name = "bf16" if device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False) else "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def device_name(device: torch.device) -> str:
    """What a person calls it: the GPU's name, or the number of CPU threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple GPU" if device.type == "mps" else f"CPU, {torch.get_num_threads()} threads"


def device_memory(device: torch.device) -> int | None:
    """Bytes that tensors hold on an accelerator at most so far; None on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return torch.mps.current_allocated_memory() if device.type == "mps" else None


def available_memory(device: torch.device) -> int:
    """Bytes that a training on this device can have: what is free, and what torch holds there already."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return torch.mps.recommended_max_memory() if device.type == "mps" else psutil.virtual_memory().available


def keep_freed_memory() -> None:
    """Has the C library keep what is freed for what is asked for next, in all of this process, until release_freed_memory.

    By itself glibc hands every large tensor back to the system, and gets it again page by page, which costs a network of
    large feature maps much of a step. The memory at the peak grows, since what is kept does not always fit.
    """
    _set_memory_options(1)


def release_freed_memory() -> None:
    """Ends keep_freed_memory."""
    _set_memory_options(2)
    if GLIBC:
        ctypes.CDLL(None).malloc_trim(0)


def _set_memory_options(value: int) -> None:
    if GLIBC:
        for option in MEMORY_OPTIONS.values():
            ctypes.CDLL(None).mallopt(option[0], option[value])


def available_threads() -> int:
    """Processors this process may use, or as many as OMP_NUM_THREADS asks for."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
