"""Every kind of network against a reference that goes through images, experts and channels one by one."""

import pytest
import torch
import torch.nn.functional as F

from expertnet.network.mixing import ExpertConvs
from expertnet.network.model import ExpertNet, scaled
from expertnet.routing.interventions import ablated, given, uniform
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


def weights_of(router, model, image_CHW):
    """The factors of an image's experts before and after the others than the top k become 0."""
    seen = [channel.mean() for channel in image_CHW]
    if model.router_input == "mean_deviation":
        seen += [((channel - channel.mean()) ** 2).mean().add(1e-5).sqrt() for channel in image_CHW]
    logits = two_layers(router.squeeze, router.route, torch.stack(seen))
    if model.router_output == "sigmoid":
        return 1 / (1 + torch.exp(-logits)), 1 / (1 + torch.exp(-logits))
    powers = torch.exp(logits)
    soft = powers / powers.sum()
    best = sorted(range(len(soft)), key=lambda k: -soft[k])[: model.top_k or None]
    return soft, torch.stack([a if k in best else 0 * a for k, a in enumerate(soft)])


def balancing_loss(soft, kept):
    """Equations 4 to 6 of Fedus 2021, without the factor."""
    images, experts = len(soft), len(soft[0])
    choices = sum((a > 0).double() for a in kept)
    return experts * sum(choices[k] / choices.sum() * sum(a[k] for a in soft) / images for k in range(experts))


def normed(norm, z, here, training):
    """The batch norm of a slice of channels."""
    statistics = (None, None) if training else (norm.running_mean[here], norm.running_var[here])
    return F.batch_norm(z, *statistics, norm.weight[here], norm.bias[here], training)


def gated_convolution(gate, image_CHW, kernel_DC33):
    """Equation 2 of Li 2022 for one image, with its gates applied to the kernel element by element."""
    width, channels = kernel_DC33.shape[:2]
    factors = 1 / (1 + torch.exp(-two_layers(gate.squeeze, gate.excite, image_CHW.mean((1, 2)))))
    of_inputs, of_outputs, of_places = factors.split((channels, width, 9))
    scaled = kernel_DC33 * of_places.view(1, 1, 3, 3) * of_inputs.view(1, -1, 1, 1) * of_outputs.view(-1, 1, 1, 1)
    return F.conv2d(image_CHW, scaled, padding=1)


def plain_block(block, model, x):
    """A block's output, its routing weights, which are the experts' shares, and its share of the loss."""
    width, training = len(block.experts.conv.weight) // model.num_experts, block.training
    kernels = block.experts.conv.weight.split(width)
    norm = block.experts.norm
    soft, weights = zip(*[weights_of(block.branch, model, image) for image in x], strict=True)
    if model.mixing == "kernels":
        z = []
        for image, a in zip(x, weights, strict=True):
            kernel = sum(a[k] * kernels[k] for k in range(len(a)))
            if model.gates == "odconv":
                z.append(gated_convolution(block.experts.gate, image, kernel))
            else:
                z.append(F.conv2d(image, kernel, padding=1))
        z = torch.stack(z)
        y = torch.relu(normed(norm, z, slice(None), training))
    else:
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
    loss = model.balance * balancing_loss(soft, weights) if model.balance and training else 0
    return y, torch.stack([a / a.sum() for a in weights]), loss


def plain(net, model, images):
    """Logits, routing weights, and what is added to the cross entropy."""
    x = torch.relu(normed(net.stem.norm, net.stem.conv(images), slice(None), net.training))
    routing, added = [], 0
    for number, block in enumerate(net.backbone.blocks, 1):
        x, weights, loss = plain_block(block, model, x)
        routing.append(weights)
        added += loss
        x = F.max_pool2d(x, 2) if number in model.pool_after else x
    return net.classifier.head(x.mean((2, 3))), torch.stack(routing, 1), added


@pytest.mark.parametrize("fused", [False, True], ids=["per expert", "fused"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("fewest", [False, True], ids=["K = 3", "fewest experts, residual"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_kind_equals_its_plain_reference(kind, fewest, training, fused, monkeypatch):
    if fused:  # as on a GPU
        monkeypatch.setattr(ExpertConvs, "forward", ExpertConvs.forward_fused)
    more = {"num_experts": kind.get("top_k", 1), "residual": True} if fewest else {}
    net, model, images = network(**kind | more)
    net.train(training)
    learned = [value for value in net.parameters() if value.requires_grad]
    results = []
    for logits, routing, added in ((*net(images, True), 0), plain(net, model, images)):
        loss = F.cross_entropy(logits, torch.tensor([0, 1, 2, 3, 0])) + added
        results.append((logits, routing, *torch.autograd.grad(loss, learned)))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_compiler_sees_each_kind_whole(kind):
    """One graph, without control flow that depends on values, whose gradients are those of the network itself."""
    net, _, images = network(**kind)
    torch.compiler.reset()
    learned, results = [value for value in net.parameters() if value.requires_grad], []
    for forward in (net, torch.compile(net, backend="aot_eager", fullgraph=True)):
        loss = F.cross_entropy(forward(images), torch.tensor([0, 1, 2, 3, 0]))
        results.append((loss, *torch.autograd.grad(loss, learned)))
    for ours, compiled in zip(*results, strict=True):
        torch.testing.assert_close(ours, compiled, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", [{}, *KINDS], ids=str)
def test_a_block_answers_changed_weights_as_the_network_does(kind):
    net, _, _ = network(**kind | {"residual": True})
    block, x = net.eval().backbone.blocks[1], torch.randn(5, 4, 8, 8, dtype=torch.float64)
    weights, factor = block.routing(x)
    torch.testing.assert_close(weights, block(x)[1])
    parts = list(block.experts.parts(x))
    for change in (lambda same: same, ablated(0, False), ablated(2), given((0.2, 0.5, 0.3)), uniform):
        expected, changed = block(x, change)
        mix = block.experts.mix(parts, scaled(change(weights), factor))
        torch.testing.assert_close(block.add(x, block.experts.complete(x, mix)), expected, rtol=0, atol=1e-9)
        torch.testing.assert_close(changed, change(weights))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_kind_has_its_controls(kind):
    """The same settings are valid without learned routing and without experts."""
    for control in ({"routing": "random"}, {"routing": "uniform"}, {"routing": "uniform", "num_experts": 1}):
        net, _, images = network(**kind | control)
        assert net.eval()(images).isfinite().all()
