"""The optimizers against torch's own, and which parameters each of them moves."""

import pytest
import torch
from torch import nn

from expertnet.network.model import ExpertNet
from expertnet.settings.schema import ModelSettings, TrainingSettings
from expertnet.training.muon import Muon, orthogonalize
from expertnet.training.optim import complete_momentum, group_rate, make_optimizers, saved_state, set_rate, temperature


def test_orthogonalize_keeps_the_directions_and_evens_the_sizes():
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 8, 24), (2, 24, 8)):
        matrices = torch.randn(shape, generator=generator)
        for before, after in zip(matrices, orthogonalize(matrices), strict=True):
            u, _, v = torch.linalg.svd(before, full_matrices=False)
            inside = u.T @ after @ v.T
            assert ((inside.diagonal() > 0.6) & (inside.diagonal() < 1.3)).all()
            torch.testing.assert_close(inside, torch.diag(inside.diagonal()), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (40, 2, 3, 3)], ids=["wide", "tall"])
def test_muon_moves_one_kernel_as_torchs_own_moves_its_matrix(shape):
    generator = torch.Generator().manual_seed(1)
    kernel = nn.Parameter(torch.randn(shape, generator=generator))
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    ours = Muon([{"params": [kernel]}], lr=0.01, momentum=0.9, weight_decay=0.1)
    theirs = torch.optim.Muon([matrix], lr=0.01, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        kernel.grad = torch.randn(shape, generator=generator)
        matrix.grad = kernel.grad.flatten(1).clone()
        ours.step(), theirs.step()
    torch.testing.assert_close(kernel.detach().flatten(1), matrix.detach(), rtol=0, atol=2e-3)  # theirs is in bfloat16


def test_muon_orthogonalizes_each_experts_kernel_by_itself():
    generator = torch.Generator().manual_seed(2)
    both = nn.Parameter(torch.randn(12, 4, 3, 3, generator=generator))
    alone = [nn.Parameter(part.detach().clone()) for part in both.chunk(2)]
    together = Muon([{"params": [both], "matrices": 2}], lr=0.1, momentum=0.9, weight_decay=0.0)
    apart = Muon([{"params": alone}], lr=0.1, momentum=0.9, weight_decay=0.0)
    for _ in range(2):
        both.grad = torch.randn(both.shape, generator=generator)
        for part, grad in zip(alone, both.grad.chunk(2), strict=True):
            part.grad = grad.clone()
        together.step(), apart.step()
    torch.testing.assert_close(both.detach(), torch.cat([part.detach() for part in alone]))


def test_muon_that_keeps_norms_on_paper():
    """Each expert's kernel is scaled to the root of its filters, then moved by the learning rate times an orthogonal matrix."""
    generator = torch.Generator().manual_seed(3)
    kernels = nn.Parameter(torch.randn(8, 4, 3, 3, generator=generator))
    before, moving = [part.detach().clone() for part in kernels.chunk(2)], [0.0, 0.0]
    ours = Muon([{"params": [kernels], "matrices": 2}], 0.24, 0.6, 0.5, keeps_norm=True)
    for _ in range(2):
        kernels.grad = torch.randn(kernels.shape, generator=generator)
        ours.step()
        for k, gradient in enumerate(kernels.grad.chunk(2)):
            moving[k] = 0.6 * moving[k] + gradient  # the momentum of SGD, whose scale does not matter here
            matrix = (gradient + 0.6 * moving[k]).flatten(1)
            x = matrix / matrix.norm()
            for _ in range(3):
                gram = x @ x.T
                x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
            before[k] = before[k] * 4**0.5 / before[k].norm() - 0.24 * x.view(4, 4, 3, 3)
    torch.testing.assert_close(kernels.detach(), torch.cat(before), rtol=0, atol=0.02)  # ours may be in bfloat16


@pytest.mark.parametrize("keeps_norm", [False, True])
def test_muon_finds_a_learning_rate_that_was_changed_in_place(keeps_norm):
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(6, 4, 3, 3, generator=generator)
    gradients = torch.randn(2, 6, 4, 3, 3, generator=generator)
    kernels = []
    for device in (None, torch.device("cpu")):
        kernel = nn.Parameter(start.clone())
        optimizer = Muon([{"params": [kernel]}], lr=1.0, momentum=0.9, weight_decay=0.1, keeps_norm=keeps_norm)
        (group,) = optimizer.param_groups
        for rate, gradient in zip((0.1, 0.01), gradients, strict=True):
            before = group["lr"]
            set_rate(group, rate, device)
            kernel.grad = gradient
            optimizer.step()
        kernels.append(kernel.detach())
    assert group["lr"] is before, "a recorded step reads the rate at one place"
    torch.testing.assert_close(*kernels)


def test_what_is_saved_does_not_depend_on_whether_steps_are_recorded():
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    states = []
    for recorded in (False, True):
        optimizer = torch.optim.AdamW([weight], lr=1.0, fused=True)
        (group,) = optimizer.param_groups
        set_rate(group, 0.5, torch.device("cpu") if recorded else None)
        group["capturable"] = recorded
        states.append(saved_state(optimizer)["param_groups"])
    assert states[0] == states[1] and states[1][0]["lr"] == 0.5
    assert group["capturable"], "saving changes nothing"


def test_kernels_of_one_shape_are_moved_together_as_they_are_one_by_one():
    generator = torch.Generator().manual_seed(4)
    shapes = [(6, 4, 3, 3), (12, 4, 3, 3), (6, 4, 3, 3), (5, 6, 3, 3)]
    together = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    apart = [nn.Parameter(value.detach().clone()) for value in together]
    matrices = [1, 2, 1, 1]
    one = Muon([{"params": [value], "matrices": k} for value, k in zip(together, matrices, strict=True)], 0.1, 0.9, 0.1)
    many = [Muon([{"params": [value], "matrices": k}], 0.1, 0.9, 0.1) for value, k in zip(apart, matrices, strict=True)]
    for value, other in zip(together, apart, strict=True):
        value.grad = torch.randn(value.shape, generator=generator)
        other.grad = value.grad.clone()
    one.step()
    for value, other, optimizer in zip(together, apart, many, strict=True):
        optimizer.step()
        torch.testing.assert_close(value, other)


def test_the_rates_of_muon_with_sgd():
    """SGD's rates are per image, with a share for norms, routers and the whitened stem, whose bias learns for three epochs."""
    net = ExpertNet(ModelSettings(num_blocks=2, channels=24, whitened_stem=True, head="max"), 10)
    training = TrainingSettings(
        optimizer="muon_sgd", lr=0.24, sgd_lr=0.5, bias_lr_share=0.1, router_lr_share=0.2, epochs=12, weight_decay=0.004
    )
    training = training.model_copy(update={"schedule": "one_cycle"})
    groups = {
        id(value): group
        for made in make_optimizers(net, training, 100)
        for group in made.param_groups
        for value in group["params"]
    }
    names = {name: value for name, value in net.named_parameters() if value.requires_grad}
    assert sorted(groups) == sorted(id(value) for value in names.values())
    rates = {
        "backbone.blocks.0.experts.conv.weight": 0.24,
        "classifier.head.weight": 50.0,
        "backbone.blocks.1.experts.norm.bias": 5.0,
        "backbone.blocks.1.branch.route.weight": 10.0,
        "stem.conv.bias": 5.0,
    }
    for name, rate in rates.items():
        group = groups[id(names[name])]
        assert group_rate(training, group, 0.0) == pytest.approx(rate), name
        until = 0.25 if name == "stem.conv.bias" else 1.0
        assert group_rate(training, group, until / 2) == pytest.approx(rate / 2), name
        assert group_rate(training, group, until) == pytest.approx(0), name
        if name != "backbone.blocks.0.experts.conv.weight":
            assert group["weight_decay"] * rate == pytest.approx(0.004), name  # per step
            assert group["momentum"] == 0.85
    assert group_rate(training, groups[id(names["stem.conv.bias"])], 0.9) == 0


def test_muon_with_sgd_moves_the_kernels_of_an_ordinary_stem_too():
    """At SGD's rate, which is for a sum over the batch, they would be thrown far off."""
    net = ExpertNet(ModelSettings(num_blocks=1, channels=8), 10)
    kernels, _ = make_optimizers(net, TrainingSettings(optimizer="muon_sgd"), 100)
    moved = {id(value) for group in kernels.param_groups for value in group["params"]}
    assert moved == {id(net.stem.conv.weight), id(net.backbone.blocks[0].experts.conv.weight)}


def test_fused_sgd_moves_weights_that_begin_to_learn_later_as_plain_sgd_does():
    generator = torch.Generator().manual_seed(4)
    ours, theirs = ([nn.Parameter(torch.ones(5)) for _ in range(2)] for _ in range(2))
    rest = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}
    fused, plain = torch.optim.SGD(ours, fused=True, **rest), torch.optim.SGD(theirs, foreach=False, **rest)
    for learning in (1, 1, 2, 2):
        for mine, other in list(zip(ours, theirs, strict=True))[:learning]:
            mine.grad = torch.randn(5, generator=generator)
            other.grad = mine.grad.clone()
        if learning == 2:
            complete_momentum(fused)
        fused.step(), plain.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize("decay_all", [True, False])
def test_every_parameter_is_moved_once_and_what_is_spared_is_not_decayed(optimizer, decay_all):
    net = ExpertNet(ModelSettings(num_blocks=2, channels=8, gates="se"), 10)
    training = TrainingSettings(optimizer=optimizer, decay_all=decay_all, weight_decay=0.5)
    decay = {
        id(value): (type(made).__name__, group["weight_decay"])
        for made in make_optimizers(net, training, 64)
        for group in made.param_groups
        for value in group["params"]
    }
    names = dict(net.named_parameters())
    assert sorted(decay) == sorted(id(value) for value in names.values())
    kernel = names["backbone.blocks.0.experts.conv.weight"]
    assert decay[id(kernel)] == ({"adamw": "AdamW", "sgd": "SGD", "muon": "Muon"}[optimizer], 0.5)
    for name in (
        "backbone.blocks.0.experts.norm.weight",
        "backbone.blocks.1.branch.squeeze.weight",
        "backbone.blocks.1.gate.excite.weight",
        "classifier.head.bias",
    ):
        assert decay[id(names[name])][1] == (0.5 if decay_all else 0.0)
    assert decay[id(names["stem.conv.weight"])] == ("SGD" if optimizer == "sgd" else "AdamW", 0.5)


@pytest.mark.parametrize("optimizer", ["muon", "muon_sgd"])
def test_every_parameter_of_a_very_narrow_network_is_moved_too(optimizer):
    net = ExpertNet(ModelSettings(num_blocks=2, channels=3), 10)
    made = make_optimizers(net, TrainingSettings(optimizer=optimizer), 64)
    moved = [id(value) for each in made for group in each.param_groups for value in group["params"]]
    assert sorted(moved) == sorted(map(id, net.parameters()))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_routers_and_gates_take_their_share_of_the_learning_rate_and_nothing_else_does(optimizer):
    net = ExpertNet(ModelSettings(num_blocks=2, channels=8, gates="se"), 10)
    training = TrainingSettings(optimizer=optimizer, router_lr_share=0.1)
    share = {
        id(value): group["lr_share"]
        for made in make_optimizers(net, training, 64)
        for group in made.param_groups
        for value in group["params"]
    }
    for name, value in net.named_parameters():
        assert share[id(value)] == (0.1 if ".branch." in name or ".gate." in name else 1.0), name


def test_temperature_falls_in_a_straight_line():
    training = TrainingSettings(temperature=30.0, temperature_share=0.2)
    assert [temperature(training, done) for done in (0.0, 0.1, 0.2, 1.0)] == pytest.approx([30.0, 15.5, 1.0, 1.0])
