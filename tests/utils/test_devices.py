"""Devices: the memory that a training keeps between its steps."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from expertnet.utils.devices import GLIBC, keep_freed_memory, release_freed_memory

MIB = 2**20
ROOT = Path(__file__).parents[2]


def resident():
    return psutil.Process().memory_info().rss


def step():
    """As a training step does: takes 256 MiB in large tensors, and frees them."""
    tensors = [torch.ones(8 * MIB) for _ in range(8)]
    del tensors


@pytest.mark.skipif(not GLIBC, reason="the C library is not glibc")
def test_freed_memory_is_kept_for_the_next_step_and_then_given_back():
    """In a process of its own: what other tests have freed is there for these steps too."""
    subprocess.run([sys.executable, "-m", "tests.utils.test_devices"], cwd=ROOT, check=True, timeout=300)


def main():
    before = resident()
    step()
    assert resident() < before + 100 * MIB
    keep_freed_memory()
    for _ in range(3):  # the first steps may leave gaps that later ones do not fit into
        step()
    kept = resident()
    assert kept > before + 200 * MIB
    step()
    assert resident() < kept + 50 * MIB  # the same memory again
    release_freed_memory()
    assert resident() < before + 100 * MIB


if __name__ == "__main__":
    main()
