"""Memory that training reuses between steps, and the limits of a container."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from expertnet.utils import memory
from expertnet.utils.devices import available_memory, utilization
from expertnet.utils.memory import GLIBC, container_memory, keep_freed_memory, release_freed_memory

MIB = 2**20
ROOT = Path(__file__).parents[2]


def resident():
    return psutil.Process().memory_info().rss


def step():
    """Allocate and free 256 MiB in large tensors, as a training step does."""
    tensors = [torch.ones(8 * MIB) for _ in range(8)]
    del tensors


@pytest.mark.long
@pytest.mark.skipif(not GLIBC, reason="needs glibc")
def test_freed_memory_is_reused_by_the_next_step_and_released_at_the_end():
    """Run main() in a new process, because these steps could reuse memory that other tests have freed."""
    subprocess.run([sys.executable, "-m", "tests.utils.test_memory"], cwd=ROOT, check=True, timeout=300)


@pytest.mark.parametrize(
    ("membership", "files", "left"),
    [
        ("0::/\n", {"": (1000, 300, 100)}, [800]),  # a container
        ("0::/a/b\n", {"": None, "a": (900, 100, 50), "a/b": ("max", 60, 10)}, [850]),  # a service, no limit of its own
        ("0::/a/b\n", {"a": (900, 100, 50), "a/b": (500, 60, 10)}, [450, 850]),
        ("4:memory:/docker/1\n0::/\n", {"memory": (1000, 300, 100)}, [800]),  # version 1
        ("0::/\n", {"": None}, []),
    ],
)
def test_a_container_limits_the_memory(tmp_path, membership, files, left):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(membership)
    for group, numbers in files.items():
        folder = tmp_path / "sys/fs/cgroup" / group
        folder.mkdir(parents=True, exist_ok=True)
        first = "memory" in membership
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if first else ("memory.max", "memory.current")
        if numbers is not None:
            for name, number in zip(names, numbers, strict=False):
                (folder / name).write_text(f"{number}\n")
            (folder / "memory.stat").write_text(f"anon 7\n{'total_' if first else ''}inactive_file {numbers[2]}\n")
    assert container_memory(tmp_path) == left


def test_the_smaller_of_machine_and_container_is_available(monkeypatch):
    free = psutil.virtual_memory().available
    monkeypatch.setattr(memory, "container_memory", lambda: [MIB, 2**62])
    assert available_memory(torch.device("cpu")) == MIB < free
    monkeypatch.setattr(memory, "container_memory", lambda: [2**62])
    assert MIB < available_memory(torch.device("cpu")) < 2**62


def test_the_processor_is_busy_while_this_process_computes():
    utilization(torch.device("cpu"))  # measures from here on
    started = time.process_time()
    while time.process_time() - started < 0.2:
        pass
    assert 0 < utilization(torch.device("cpu")) <= 1


def main():
    before = resident()
    step()
    assert resident() < before + 100 * MIB
    keep_freed_memory()
    for _ in range(3):  # the first steps may leave gaps that are too small for later ones
        step()
    reused = resident()
    assert reused > before + 200 * MIB
    step()
    assert resident() < reused + 50 * MIB  # the same memory again
    release_freed_memory()
    assert resident() < before + 100 * MIB


if __name__ == "__main__":
    main()
