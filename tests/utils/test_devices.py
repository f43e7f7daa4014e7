"""Memory that training reuses between steps."""

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
    """Allocate and free 256 MiB in large tensors, as a training step does."""
    tensors = [torch.ones(8 * MIB) for _ in range(8)]
    del tensors


@pytest.mark.slow
@pytest.mark.skipif(not GLIBC, reason="needs glibc")
def test_freed_memory_is_reused_by_the_next_step_and_released_at_the_end():
    """Run main() in a new process, because these steps could reuse memory that other tests have freed."""
    subprocess.run([sys.executable, "-m", "tests.utils.test_devices"], cwd=ROOT, check=True, timeout=300)


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
