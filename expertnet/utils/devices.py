"""Choose the device and number format of a run."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import psutil
import torch

from expertnet.errors import SettingsError
from expertnet.utils.memory import free_memory
from expertnet.utils.text import counted


def resolve_device(name: str) -> torch.device:
    """Return the named device; "auto" is the first accelerator, else the CPU. Raises SettingsError if it is missing."""
    if name == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    device = torch.device(name)
    available = {
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }[device.type]
    if not available:
        raise SettingsError(
            f"`hardware.device` cannot be {name!r}, because this computer has no such device. Use auto to let ExpertNet choose."
        )
    return device


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the number format of the convolutions; "auto" is bfloat16 where the device computes it faster, else float32."""
    if name == "auto":
        if device.type == "cuda":
            faster = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            faster = device.type == "cpu" and _computes_bf16_faster(torch.cpu.get_capabilities())
        name = "bf16" if faster else "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def _computes_bf16_faster(processor: Mapping[str, Any]) -> bool:
    """Return whether convolutions take less time in bfloat16 than in float32, from what PyTorch knows of the processor.

    Intel's processors with AVX512-FP16 have matrix units (AMX) for it. Where a virtual machine does not offer these, a training in
    bfloat16 takes 1.7 times as long as in float32 (docs/benchmarks.md).
    """
    needs_amx = str(processor.get("cpu_name", "")).startswith("Intel") and processor.get("avx512_fp16", False)
    return bool(processor.get("amx_bf16" if needs_amx else "avx512_bf16", False))


def device_name(device: torch.device) -> str:
    """Return the name of the GPU, or the number of CPU threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple GPU" if device.type == "mps" else f"CPU, {counted(torch.get_num_threads(), 'thread')}"


def is_cpu(name: str) -> bool:
    """Return whether this is the device_name of a CPU."""
    return name.startswith("CPU")


def device_memory(device: torch.device) -> int | None:
    """Return the peak memory of tensors on an accelerator in bytes (on Apple GPUs the current memory); None on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return torch.mps.current_allocated_memory() if device.type == "mps" else None


def process_memory() -> int:
    """Return the bytes of memory that this process uses, without the memory of a GPU."""
    return int(_process(os.getpid()).memory_info().rss)


# One object per process, because it remembers the processor time at the last call.
@cache
def _process(pid: int) -> psutil.Process:
    return psutil.Process(pid)


def utilization(device: torch.device) -> float | None:
    """Return how busy a GPU is, or the processor cores with this process since the last call, 0 to 1; None if unknown.

    NVIDIA GPUs need the optional package nvidia-ml-py.
    """
    if device.type == "cuda":
        try:
            return torch.cuda.utilization(device) / 100
        except Exception:  # the package is missing, or has no figure for this GPU; its errors share no other class
            return None
    if device.type != "cpu":
        return None
    return min(_process(os.getpid()).cpu_percent() / 100 / available_threads(), 1.0)


def available_memory(device: torch.device) -> int:
    """Return the bytes that training can use on a device: free memory and what torch has already reserved."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return torch.mps.recommended_max_memory() if device.type == "mps" else free_memory()


def available_threads() -> int:
    """Return OMP_NUM_THREADS if set, else the number of processors this process may use."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and int(threads):
        return int(threads)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
