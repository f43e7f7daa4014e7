"""Batch norms over the images of several processes, here of a group of one, in which plain ones are the reference."""

import copy

import pytest
import torch
import torch.distributed as dist

from expertnet.network.model import ExpertNet
from expertnet.training.synced_norm import synchronize_norms
from tests.support.small import settings


@pytest.fixture
def group(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_block_exchanges_the_statistics_of_all_experts_at_once_and_learns_the_same(group, monkeypatch):
    torch.manual_seed(0)
    plain = ExpertNet(settings(**{"model.num_blocks": 2, "model.num_experts": 3}).model, 10)
    synced = copy.deepcopy(plain)
    synchronize_norms(synced)
    exchanges, all_reduce = [], dist.all_reduce
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: (exchanges.append(tensor.shape), all_reduce(tensor)))
    images = torch.randn(16, 3, 8, 8)
    for network in (plain, synced):
        network(images).square().sum().backward()
    assert len(exchanges) == 2 * (1 + 2)  # forward and backward, of the stem and of two blocks
    for (name, mine), theirs in zip(plain.named_parameters(), synced.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, mine.grad, atol=1e-5, rtol=1e-4, msg=name)
    for (name, mine), theirs in zip(plain.named_buffers(), synced.buffers(), strict=True):
        torch.testing.assert_close(theirs, mine, atol=1e-6, rtol=1e-5, msg=name)
