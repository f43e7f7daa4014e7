"""The network against a plain K-branch reference, and the routing weights it hands back."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from expertnet.network.model import ExpertConvs, ExpertNet
from expertnet.settings.schema import ModelSettings


class PlainBlock(nn.Module):
    """The report's block, word for word: a router and K separate convolutions with their own norms."""

    def __init__(self, block, num_experts, channels, channels_out):
        super().__init__()
        self.squeeze, self.route = copy.deepcopy(block.branch.squeeze), copy.deepcopy(block.branch.route)
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels_out, 3, padding=1, bias=False) for _ in range(num_experts)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels_out) for _ in range(num_experts))
        for k in range(num_experts):
            own = slice(k * channels_out, (k + 1) * channels_out)
            self.convs[k].weight.data = block.experts.conv.weight.data[own].clone()
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(self.norms[k], name).data = getattr(block.experts.norm, name).data[own].clone()

    def forward(self, x):
        a = torch.softmax(self.route(torch.relu(self.squeeze(x.mean((2, 3))))), 1)
        return sum(
            a[:, k, None, None, None] * torch.relu(self.norms[k](self.convs[k](x))) for k in range(len(self.convs))
        ), a


class PlainNet(nn.Module):
    def __init__(self, net, model):
        super().__init__()
        self.stem, self.classifier = copy.deepcopy(net.stem), copy.deepcopy(net.classifier)
        widths = model.block_widths
        self.blocks = nn.ModuleList(
            PlainBlock(block, model.num_experts, *pair)
            for block, pair in zip(net.backbone.blocks, zip((widths[0], *widths), widths, strict=False), strict=True)
        )
        self.pool_after, self.residual = model.pool_after, model.residual

    def forward(self, x):
        x = torch.relu(self.stem.norm(self.stem.conv(x)))
        routing = []
        for number, block in enumerate(self.blocks, 1):
            y, a = block(x)
            if self.residual:  # channels that x lacks count as zero
                y[:, : x.shape[1]] = y[:, : x.shape[1]] + x
            x = y
            routing.append(a)
            x = F.max_pool2d(x, 2) if number in self.pool_after else x
        return self.classifier.head(x.mean((2, 3))), torch.stack(routing, 1)


def disturb(net, seed=1):
    """Weights and statistics that are not what initialization leaves, so that a swap of two would show."""
    generator = torch.Generator().manual_seed(seed)
    for value in net.state_dict().values():
        if value.is_floating_point() and value.ndim:
            value.add_(torch.rand(value.shape, generator=generator, dtype=value.dtype) * 0.3)


@pytest.mark.parametrize("fused", [False, True], ids=["per expert", "fused"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("num_experts", [1, 2, 3, 5])
@pytest.mark.parametrize("more", [{}, {"residual": True, "widths": (4, 6)}], ids=["the report's", "residual, widths"])
def test_equals_plain_reference(num_experts, training, fused, more, monkeypatch):
    if fused:  # as on a GPU
        monkeypatch.setattr(ExpertConvs, "forward", ExpertConvs.forward_fused)
    model = ModelSettings(num_blocks=3, channels=6, num_experts=num_experts, reduction=2, pool_after=(2,), **more)
    torch.manual_seed(num_experts)
    net = ExpertNet(model, 4).double()
    disturb(net)
    plain = PlainNet(net, model).double()
    net.train(training), plain.train(training)
    images = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    target = torch.tensor([0, 1, 2, 3, 0])

    logits, routing = net(images, return_routing=True)
    plain_logits, plain_routing = plain(images)
    assert routing.shape == (5, 3, num_experts)
    torch.testing.assert_close(logits, plain_logits, rtol=0, atol=1e-9)
    torch.testing.assert_close(routing, plain_routing, rtol=0, atol=1e-9)

    F.cross_entropy(logits, target).backward()
    F.cross_entropy(plain_logits, target).backward()
    torch.testing.assert_close(net.stem.conv.weight.grad, plain.stem.conv.weight.grad, rtol=0, atol=1e-9)
    for block, reference in zip(net.backbone.blocks, plain.blocks, strict=True):
        torch.testing.assert_close(
            block.experts.conv.weight.grad, torch.cat([c.weight.grad for c in reference.convs]), rtol=0, atol=1e-9
        )
        torch.testing.assert_close(
            block.experts.norm.weight.grad, torch.cat([n.weight.grad for n in reference.norms]), rtol=0, atol=1e-9
        )
        torch.testing.assert_close(block.branch.squeeze.weight.grad, reference.squeeze.weight.grad, rtol=0, atol=1e-9)
        torch.testing.assert_close(
            block.experts.norm.running_var, torch.cat([n.running_var for n in reference.norms]), rtol=0, atol=1e-9
        )
        assert block.experts.norm.num_batches_tracked == reference.norms[0].num_batches_tracked


def test_default_is_the_reports_network():
    net = ExpertNet(ModelSettings(), 10)
    # by hand: stem 1728 + 128; a block: 64*8+8 + 8*3+3 + 3*(36864 + 128); head 650
    assert sum(p.numel() for p in net.parameters()) == 1856 + 8 * (520 + 27 + 3 * 36992) + 650


def test_temperature_is_saved_and_flattens_the_routing():
    net = ExpertNet(ModelSettings(num_blocks=1, channels=8, reduction=2), 2).eval()
    disturb(net)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    sharp = net(images, return_routing=True)[1]
    net.backbone.blocks[0].branch.temperature.fill_(1e6)
    assert "backbone.blocks.0.branch.temperature" in net.state_dict()
    flat = net(images, return_routing=True)[1]
    torch.testing.assert_close(flat, torch.full_like(flat, 1 / 3), rtol=0, atol=1e-4)
    assert (sharp - 1 / 3).abs().max() > 0.01


def test_pooling_halves_the_image_after_the_named_block():
    seen = []
    net = ExpertNet(ModelSettings(num_blocks=3, channels=4, pool_after=(1, 3)), 2).eval()
    for block in net.backbone.blocks:
        block.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[-1]))
    net(torch.zeros(1, 3, 16, 16))
    assert seen == [16, 8, 8]


def test_uniform_routing_is_learned_routing_with_equal_weights():
    model = ModelSettings(num_blocks=2, channels=8, reduction=2)
    net = ExpertNet(model, 2).eval()
    disturb(net)
    for block in net.backbone.blocks:
        block.branch.temperature.fill_(float("inf"))
    uniform = ExpertNet(model.model_copy(update={"routing": "uniform"}), 2).eval()
    uniform.load_state_dict({name: value for name, value in net.state_dict().items() if ".branch." not in name})
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for ours, theirs in zip(uniform(images, return_routing=True), net(images, return_routing=True), strict=True):
        torch.testing.assert_close(ours, theirs)
