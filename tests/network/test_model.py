"""The network against a plain K-branch reference, and the routing weights it hands back.

The module is long because it begins with that reference, written out once more in plain PyTorch.
"""

import copy
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from expertnet.network.mixing import ExpertConvs
from expertnet.network.model import ExpertNet
from expertnet.network.stem import sample
from expertnet.settings.schema import ModelSettings


class PlainBlock(nn.Module):
    """The report's block, word for word: a router and K separate convolutions with their own norms."""

    def __init__(self, block, num_experts, channels, channels_out):
        super().__init__()
        self.squeeze, self.route = copy.deepcopy(block.branch.squeeze), copy.deepcopy(block.branch.route)
        pairs = self.split(block.experts)
        self.convs, self.norms = nn.ModuleList(pair[0] for pair in pairs), nn.ModuleList(pair[1] for pair in pairs)

    @staticmethod
    def split(experts):
        """The convolution and the norm of each expert."""
        whole, norm, pairs = experts.conv, experts.norm, nn.ModuleList()
        for k, kernel in enumerate(whole.weight.data.chunk(experts.num_experts)):
            width = len(kernel)
            conv = nn.Conv2d(whole.in_channels, width, 3, padding=1, bias=False)
            conv.weight.data = kernel.clone()
            own = nn.BatchNorm2d(width, momentum=norm.momentum)
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(own, name).data = getattr(norm, name).data[k * width : (k + 1) * width].clone()
            pairs.append(nn.Sequential(conv, own))
        return pairs

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


class PlainFast(nn.Module):
    """The network of the fast recipe for images of 15 pixels, with experts in the last block, from torch's own layers."""

    def __init__(self, net, activation):
        super().__init__()
        self.stem, self.head = copy.deepcopy(net.stem.conv), copy.deepcopy(net.classifier.head)
        convs = [block.experts for block in net.backbone.blocks]
        self.branch = copy.deepcopy(net.backbone.blocks[3].branch)
        first, second, third = (
            nn.Sequential(copy.deepcopy(experts.conv), *pool, copy.deepcopy(experts.norm), activation())
            for experts, pool in zip(convs[:3], ([nn.MaxPool2d(2)], [], [nn.MaxPool2d(2)]), strict=True)
        )
        self.body = nn.Sequential(activation(), first, second, third)
        self.last, self.activation = PlainBlock.split(convs[3]), activation()

    def forward(self, x):
        x = self.body(self.stem(x))
        a = torch.softmax(self.branch.route(torch.relu(self.branch.squeeze(x.mean((2, 3))))), 1)
        outputs = [self.activation(conv(x)) for conv in self.last]
        x = sum(a[:, k, None, None, None] * output for k, output in enumerate(outputs))
        return self.head(x.flatten(2).max(2).values) / x.shape[1], a


FAST = ModelSettings(
    num_blocks=4,
    pool_after=(1, 3),
    widths=(24, 30),
    expert_blocks=(4,),
    pool_before_norm=True,
    whitened_stem=True,
    norm_momentum=0.4,
    head="max",
)


@pytest.mark.parametrize("fused", [False, True], ids=["per expert", "fused"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_the_fast_network_equals_a_plain_reference(activation, training, fused, monkeypatch):
    if fused:
        monkeypatch.setattr(ExpertConvs, "forward", ExpertConvs.forward_fused)
    torch.manual_seed(2)
    net = ExpertNet(FAST.model_copy(update={"activation": activation}), 4).double()
    disturb(net)
    plain = PlainFast(net, {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}[activation])
    net.train(training), plain.train(training)
    images = torch.randn(5, 3, 15, 15, dtype=torch.float64)
    logits, routing = net(images, return_routing=True)
    expected, weights = plain(images)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(routing[:, 3], weights, rtol=0, atol=1e-9)
    assert torch.equal(routing[:, :3], torch.tensor([1.0, 0, 0], dtype=torch.float64).expand(5, 3, 3))
    for output in (logits, expected):
        F.cross_entropy(output, torch.tensor([0, 1, 2, 3, 0])).backward()
    blocks = net.backbone.blocks
    torch.testing.assert_close(net.stem.conv.bias.grad, plain.stem.bias.grad, rtol=0, atol=1e-9)
    torch.testing.assert_close(blocks[0].experts.conv.weight.grad, plain.body[1][0].weight.grad, rtol=0, atol=1e-9)
    last = torch.cat([conv[0].weight.grad for conv in plain.last])
    torch.testing.assert_close(blocks[3].experts.conv.weight.grad, last, rtol=0, atol=1e-9)
    torch.testing.assert_close(blocks[1].experts.norm.running_var, plain.body[2][1].running_var, rtol=0, atol=1e-9)
    assert net.stem.conv.weight.grad is None  # fixed


def test_a_network_of_an_older_version_is_built_as_it_was():
    """The names, the weights and the random numbers drawn, against the construction before there were other networks."""
    model = ModelSettings(num_blocks=2, channels=6, reduction=2, widths=(4, 6), pool_after=(1,))
    torch.manual_seed(5)
    old = {}
    for name, layers in {
        "stem": {"conv": nn.Conv2d(3, 4, 3, bias=False), "norm": nn.BatchNorm2d(4)},
        **{
            f"backbone.blocks.{place}": {
                "branch.squeeze": nn.Linear(4, 2),
                "branch.route": nn.Linear(2, 3),
                "experts.conv": nn.Conv2d(4, 3 * width, 3, bias=False),
                "experts.norm": nn.BatchNorm2d(3 * width),
            }
            for place, width in enumerate((4, 6))
        },
        "classifier": {"head": nn.Linear(6, 5)},
    }.items():
        for part, layer in layers.items():
            old |= {f"{name}.{part}.{key}": value for key, value in layer.state_dict().items()}
        if ".blocks." in name:
            old[f"{name}.branch.temperature"] = torch.ones(())
    drawn = torch.rand(3)
    torch.manual_seed(5)
    new = ExpertNet(model, 5).state_dict()
    assert torch.equal(torch.rand(3), drawn)
    assert sorted(new) == sorted(old) and all(torch.equal(new[key], old[key]) for key in old)


@pytest.mark.parametrize(("images", "taken"), [(10, 10), (5000, 5000), (5001, 5000), (45_000, 5000)])
def test_a_stem_is_whitened_by_5000_images_from_all_over_a_sorted_folder(images, taken):
    places = sample(torch.arange(images))
    assert len(places) == taken and places[0] == 0
    assert places.diff().min() >= images // taken and images - places[-1] <= -(-images // taken)


def test_a_whitened_stem_makes_responses_uncorrelated():
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(700, 3, 9, 9, generator=generator).cumsum(2).cumsum(3) / 9  # smooth
    stem = ExpertNet(FAST, 4).stem
    stem.whiten(images)
    responses = F.conv2d(images, stem.conv.weight).transpose(0, 1).flatten(1)
    assert torch.equal(stem.conv.weight[:12], -stem.conv.weight[12:])
    moments = responses[:12] @ responses[:12].T / responses.shape[1]
    variances = torch.linalg.eigvalsh(
        sum(
            (patch := images[:, :, row : row + 2, column : column + 2].flatten(1)).T @ patch
            for row in range(8)
            for column in range(8)
        ).double()
        / (64 * 700)
    )
    torch.testing.assert_close(moments.double(), (variances / (variances + 5e-4)).diag(), rtol=0, atol=1e-3)


def test_dirac_convolutions_pass_their_input_on():
    net = ExpertNet(FAST.model_copy(update={"dirac": True}), 4)
    x = torch.randn(2, 24, 7, 7)
    for block in net.backbone.blocks[:3]:
        torch.testing.assert_close(block.experts.conv(x)[:, :24], x)
    x = torch.randn(2, 30, 7, 7)
    outputs = net.backbone.blocks[3].experts.conv(x).chunk(3, dim=1)
    torch.testing.assert_close(outputs[0], x)
    for first, second in combinations(outputs, 2):  # or they would learn the same
        assert F.cosine_similarity(first.flatten(), second.flatten(), dim=0) < 0.5


def test_norms_keep_their_scale_if_it_is_not_learned():
    net = ExpertNet(FAST.model_copy(update={"norm_scale": False}), 4)
    learned = {name for name, value in net.named_parameters() if value.requires_grad}
    assert not any(name.endswith("norm.weight") or name == "stem.conv.weight" for name in learned)
    assert "backbone.blocks.0.experts.norm.bias" in learned and "stem.conv.bias" in learned


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
