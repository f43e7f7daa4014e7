"""A block's norms, activations and mix in one piece are what they are one after another."""

import copy

import pytest
import torch
import torch.nn.functional as F

from expertnet.network.mixing import ExpertConvs
from expertnet.network.norm_mix import NormMix
from expertnet.settings.schema import ModelSettings

MODEL = ModelSettings(channels=8)


def block(experts, pools, dtype=torch.float64):
    """Return experts with unequal scales, some of them negative, which turn the order of the values."""
    made = ExpertConvs(5, 6, experts, MODEL, pools).to(dtype)
    for value in (made.norm.weight, made.norm.bias, made.norm.running_mean):
        torch.nn.init.uniform_(value, -1, 1)
    return made


def inputs(experts, dtype=torch.float64):
    images = torch.randn(4, 5, 6, 6, dtype=dtype) + 2  # their mean is not 0
    return images.requires_grad_(), torch.rand(4, experts, dtype=dtype).requires_grad_()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["channels last", "contiguous"])
@pytest.mark.parametrize("pools", [False, True], ids=["", "pools"])
@pytest.mark.parametrize("experts", [1, 3])
def test_outputs_gradients_and_statistics_equal_those_of_separate_steps(experts, pools, layout, seed):
    torch.manual_seed(seed)
    one, other = (made := block(experts, pools)), copy.deepcopy(made)
    images, weights = inputs(experts)
    results = []
    for experts_conv, way in ((one, "forward_in_one_piece"), (other, "forward_fused")):
        own = [value.detach().clone().requires_grad_() for value in (images, weights)]
        output = getattr(experts_conv, way)(own[0].contiguous(memory_format=layout), own[1])
        output.backward(torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(seed)))
        gradients = [value.grad for value in (*own, *experts_conv.parameters())]
        assert output.is_contiguous(memory_format=layout) or way == "forward_fused"
        results.append([output, *gradients, *experts_conv.buffers()])
    assert len(results[0]) == 1 + 2 + 3 + 3
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_in_bfloat16_the_mix_is_rounded_once():
    torch.manual_seed(0)
    z, weights = torch.randn(8, 6, 5, 5).bfloat16(), torch.rand(8, 3)
    scale, shift = torch.rand(6) + 0.5, torch.randn(6)
    found, mean, variance = NormMix.apply(z, weights, scale, shift, 1e-5)
    assert found.dtype == torch.bfloat16 and mean.dtype == variance.dtype == torch.float32
    exact, *_ = NormMix.apply(z.double(), weights.double(), scale.double(), shift.double(), 1e-5)
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "normed"),
    [({}, False), ({"eval": True}, True), ({"activation": F.gelu}, True), ({"norm": torch.nn.SyncBatchNorm}, True)],
    ids=str,
)
def test_only_relu_after_the_norm_of_a_batch_is_compiled_in_one_piece(change, normed):
    """A network on "meta" is compiled as on a GPU, and computes nothing."""
    experts = block(3, False, torch.float32).to("meta")
    experts.train(not change.get("eval", False))
    experts.activation = change.get("activation", F.relu)
    if "norm" in change:
        experts.norm = change["norm"](18).to("meta")
    called = []

    def backend(graph, _):
        called.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    torch.compiler.reset()
    torch.compile(experts, backend=backend)(torch.empty(4, 5, 6, 6, device="meta"), torch.empty(4, 3, device="meta"))
    assert called
    assert any("autograd_function" in name for name in called) is not normed, called
