"""Every kind of network against a reference that goes through images, experts and channels one by one."""

import pytest
import torch
import torch.nn.functional as F

from expertnet.network.mixing import ExpertConvs
from expertnet.network.model import ExpertNet
from expertnet.settings.schema import ModelSettings
from tests.support.kinds import KINDS

SMALL = {"num_blocks": 2, "channels": 6, "reduction": 2, "widths": (4, 6), "pool_after": (1,)}


def network(**kind):
    torch.manual_seed(3)
    model = ModelSettings(**(SMALL | kind))
    net = ExpertNet(model, 4).double()
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point() and value.ndim:  # not what initialization leaves, so that a swap would show
                value.add_(torch.rand_like(value) * 0.3)
    return net, model, torch.randn(5, 3, 8, 8, dtype=torch.float64)


def two_layers(first, second, x_C):
    return second.weight @ torch.relu(first.weight @ x_C + first.bias) + second.bias


def weights_of(router, image_CHW):
    """The routing weights of an image."""
    mean_C = torch.stack([channel.mean() for channel in image_CHW])
    powers = torch.exp(two_layers(router.squeeze, router.route, mean_C))
    return powers / powers.sum()


def normed(norm, z, here, training):
    """The batch norm of a slice of channels."""
    statistics = (None, None) if training else (norm.running_mean[here], norm.running_var[here])
    return F.batch_norm(z, *statistics, norm.weight[here], norm.bias[here], training)


def plain_block(block, model, x):
    """A block's output and its routing weights."""
    width, training = len(block.experts.conv.weight) // model.num_experts, block.training
    kernels = block.experts.conv.weight.split(width)
    norm = block.experts.norm
    weights = torch.stack([weights_of(block.branch, image) for image in x])
    outputs = []
    for k, kernel in enumerate(kernels):
        here = slice(k * width, (k + 1) * width)
        outputs.append(torch.relu(normed(norm, F.conv2d(x, kernel, padding=1), here, training)))
    y = torch.stack([sum(a[k] * outputs[k][n] for k in range(len(a))) for n, a in enumerate(weights)])
    if model.gates == "se":
        gates = [two_layers(block.gate.squeeze, block.gate.excite, image.mean((1, 2))) for image in y]
        y = torch.stack(
            [
                torch.stack([channel / (1 + torch.exp(-g)) for channel, g in zip(image, gate, strict=True)])
                for image, gate in zip(y, gates, strict=True)
            ]
        )
    if model.residual:
        y = torch.cat((y[:, : x.shape[1]] + x, y[:, x.shape[1] :]), 1)
    return y, weights


def plain(net, model, images):
    x = torch.relu(normed(net.stem.norm, net.stem.conv(images), slice(None), net.training))
    routing = []
    for number, block in enumerate(net.backbone.blocks, 1):
        x, weights = plain_block(block, model, x)
        routing.append(weights)
        x = F.max_pool2d(x, 2) if number in model.pool_after else x
    return net.classifier.head(x.mean((2, 3))), torch.stack(routing, 1)


@pytest.mark.parametrize("fused", [False, True], ids=["per expert", "fused"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("more", [{}, {"num_experts": 1, "residual": True}], ids=["as is", "K = 1, residual"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_kind_equals_its_plain_reference(kind, more, training, fused, monkeypatch):
    if fused:  # as on a GPU
        monkeypatch.setattr(ExpertConvs, "forward", ExpertConvs.forward_fused)
    net, model, images = network(**kind | more)
    net.train(training)
    learned = [value for value in net.parameters() if value.requires_grad]
    results = []
    for logits, routing in (net(images, True), plain(net, model, images)):
        loss = F.cross_entropy(logits, torch.tensor([0, 1, 2, 3, 0]))
        results.append((logits, routing, *torch.autograd.grad(loss, learned)))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)
