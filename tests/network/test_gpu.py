"""The network on a GPU that is not there: no devices are mixed, and nothing in it keeps a compiler from fusing."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from expertnet.network.mixing import ExpertConvs
from expertnet.network.model import ExpertNet
from expertnet.routing.interventions import ablated, forced, given, swapped, top1, uniform
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import ModelSettings
from tests.support.gpu import CUDA, pretend
from tests.support.kinds import KINDS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "more"), [("report", {}), ("fast", {}), *(("report", more) for more in KINDS)], ids=str
)
def test_routing_can_be_read_and_changed(monkeypatch, preset, more):
    model = build_settings(preset, "digits", {f"model.{name}": value for name, value in more.items()}).model
    network = ExpertNet(model, 10).eval()
    with pretend(monkeypatch):
        network = network.to(CUDA, memory_format=torch.channels_last)
        images = torch.randn(4, 3, 32, 32, device=CUDA)
        changes = [
            ablated(1),
            ablated(0, renormalize=False),
            forced(2),
            swapped(0, 2),
            given((0.5, 0.3, 0.2)),
            top1,
            uniform,
        ]
        for change in changes:
            with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
                logits, routing = network(images, True, {model.routed_blocks[-1]: change})
            assert logits.device == routing.device == CUDA
            assert logits.dtype == torch.bfloat16 and routing.dtype == torch.float32
            assert routing.shape == (4, model.num_blocks, 3)


def test_experts_are_mixed_without_a_matrix_product():
    """A compiler fuses the mix with the norm and the activation before it, which it cannot do with a matrix product."""
    experts = ExpertConvs(4, 4, 3, ModelSettings(), pools=False).eval()
    graph = make_fx(lambda x, weights: experts.forward_fused(x, weights))(
        torch.randn(2, 4, 8, 8), torch.rand(2, 3)
    ).graph
    operations = {str(node.target) for node in graph.nodes if node.op == "call_function"}
    assert "aten.convolution.default" in operations
    assert not any("mm" in name for name in operations), operations


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_mix_stays_channels_last(activation):
    """Otherwise, every convolution has to rearrange its images."""
    experts = ExpertConvs(4, 6, 3, ModelSettings(activation=activation), pools=True).eval()
    images = torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    mixed = experts.to(memory_format=torch.channels_last).forward_fused(images, torch.rand(2, 3))
    assert mixed.shape == (2, 6, 4, 4) and mixed.is_contiguous(memory_format=torch.channels_last)
