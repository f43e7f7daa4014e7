"""Devices: the memory that a training keeps between its steps."""

import psutil
import pytest
import torch

from expertnet.devices import GLIBC, give_memory_back, keep_memory

MIB = 2**20
pytestmark = pytest.mark.skipif(not GLIBC, reason="the C library is not glibc")


def resident():
    return psutil.Process().memory_info().rss


def step():
    """As a training step does: takes 256 MiB in large tensors, and frees them."""
    tensors = [torch.ones(8 * MIB) for _ in range(8)]
    del tensors


def test_freed_memory_is_kept_for_the_next_step_and_then_given_back():
    give_memory_back()
    before = resident()
    step()
    assert resident() < before + 100 * MIB
    keep_memory()
    try:
        step()
        assert resident() > before + 200 * MIB
        kept = resident()
        step()
        assert resident() < kept + 100 * MIB  # the same memory again
    finally:
        give_memory_back()
    assert resident() < before + 100 * MIB
    step()
    assert resident() < before + 100 * MIB
