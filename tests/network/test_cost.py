"""The estimate against hand calculations and against what a training step really saves."""

import re

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from expertnet.errors import SettingsError
from expertnet.network.cost import estimate, refuse_if_too_large
from expertnet.network.model import ExpertNet
from expertnet.settings.fields import build_settings


def test_parameters_and_multiply_adds_of_the_reports_network():
    result = estimate(build_settings("report"), 10)
    assert result.parameters == sum(p.numel() for p in ExpertNet(build_settings("report").model, 10).parameters())
    pixels = 32 * 32
    convolutions = pixels * (27 * 64 + 8 * 9 * 64 * 3 * 64)
    linear = 8 * (64 * 8 + 8 * 3) + 640
    assert result.multiply_adds == convolutions + linear


FAST = {
    "model.num_blocks": 6,
    "model.pool_after": (1, 3, 5),
    "model.widths": (24, 32, 32),
    "model.expert_blocks": (5, 6),
    "model.activation": "gelu",
    "model.pool_before_norm": True,
    "model.whitened_stem": True,
    "model.dirac": True,
    "model.norm_scale": False,
    "model.head": "max",
}


def counted(model, image_size, classes, dtype, batch):
    """What torch's own counters say of a pass over fake tensors: parameters, multiply-adds, bytes kept for the way back."""
    kept, held = {}, []

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        held.append(storage)  # so that no address is used twice
        return tensor

    with FakeTensorMode():
        net = ExpertNet(model, classes)
        weights = {value.untyped_storage()._cdata for value in net.parameters()}
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16),
            FlopCounterMode(display=False) as counter,
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            net(torch.zeros(batch, 3, image_size, image_size))
        parameters = sum(value.numel() for value in net.parameters())
    return parameters, counter.get_total_flops() // 2, sum(size for key, size in kept.items() if key not in weights)


TRIED = [
    {},
    {"model.mixing": "kernels", "model.gates": "se", "model.residual": True, "model.widths": (8, 16)},
    {"model.head": "max", "model.expert_blocks": (1,), "model.pool_before_norm": False},
]
TRIED_SLOWLY = [
    {"model.num_blocks": 1, "model.pool_after": (), "model.num_experts": 1, "data.image_size": 9},
    {"model.widths": (8, 16, 24), "model.residual": True, "model.pool_before_norm": False, "model.num_experts": 2},
    {"model.routing": "uniform", "model.pool_after": (4,), "model.reduction": 1},
    {"model.num_blocks": 3, "model.pool_after": (1, 2, 3), "model.channels": 5, "data.image_size": 17},
    {"model.expert_blocks": (2,), "model.activation": "silu"},
    {"model.expert_blocks": (1, 4), "model.residual": True},
    {"model.expert_blocks": (2, 3)},
    {"model.head": "max", "model.whitened_stem": True},
    {"model.residual": True, "model.pool_before_norm": True, "model.expert_blocks": (2,)},
    {"model.residual": True, "model.whitened_stem": True, "model.activation": "gelu"},
    {"model.gates": "se", "model.num_experts": 1, "model.routing": "random"},
    {"model.gates": "se", "model.expert_blocks": (2, 4), "model.residual": True, "model.widths": (8, 16)},
    {"model.gates": "se", "model.routing": "random", "model.pool_before_norm": True, "model.activation": "gelu"},
    {"model.mixing": "kernels", "model.channels": 16},
    {"model.mixing": "kernels", "model.gates": "se", "model.activation": "gelu", "model.expert_blocks": (2, 3)},
    {"model.mixing": "kernels", "model.router_output": "sigmoid", "model.pool_before_norm": True},
    {"model.router_output": "sigmoid", "model.num_experts": 2},
    {"model.top_k": 2, "model.balance": 0.1},
    {"model.router_input": "mean_deviation", "model.gates": "se"},
    {"model.router_input": "mean_deviation", "model.routing": "random", "model.mixing": "kernels"},
    {"model.gates": "odconv", "model.mixing": "kernels", "model.channels": 16, "model.residual": True},
    {"model.gates": "odconv", "model.mixing": "kernels", "model.num_experts": 1, "model.expert_blocks": (2, 3)},
    FAST,
    FAST | {"model.activation": "relu", "model.expert_blocks": (1,)},
]


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "changed", [*TRIED, *(pytest.param(changed, marks=pytest.mark.slow) for changed in TRIED_SLOWLY)]
)
def test_the_formulas_are_what_torch_counts(changed, precision):
    settings = build_settings("quick", overrides={"hardware.precision": precision, "hardware.device": "cpu", **changed})
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    two, four = (counted(settings.model, settings.data.image_size, 7, dtype, batch) for batch in (2, 4))
    result = estimate(settings, 7)
    assert (result.parameters, result.multiply_adds) == (two[0], two[1] // 2)
    images = 2 * 3 * 4 * settings.data.image_size**2  # a batch's, augmented and normalized
    kept = (four[2] - two[2]) / 2  # what is kept once a step, whatever its batch, falls out
    assert result.image_bytes - images == pytest.approx(kept, rel=1e-3)


def test_memory_follows_what_a_step_saves():
    small, large = (
        estimate(
            build_settings("quick", overrides={"hardware.precision": "fp32", "training.batch_size": n}), 10
        ).memory_bytes
        for n in (128, 256)
    )
    net = ExpertNet(build_settings("quick").model, 10)
    weights = {p.untyped_storage().data_ptr() for p in net.parameters()}
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.setdefault(t.untyped_storage().data_ptr(), t), lambda t: t
    ):
        net(torch.zeros(128, 3, 32, 32))
    really = sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in weights)
    assert large - small == pytest.approx(really, rel=0.1)


def test_pooling_halves_the_stages():
    sizes = [(stage.name, stage.size) for stage in estimate(build_settings("quick"), 10).stages]
    assert sizes == [
        ("Image", 32),
        ("Stem", 32),
        ("Block 1", 16),
        ("Block 2", 8),
        ("Block 3", 8),
        ("Block 4", 8),
        ("Classes", 1),
    ]


def test_a_run_too_large_for_memory_is_refused_with_advice():
    settings = build_settings("report", overrides={"hardware.device": "cpu"})
    with pytest.raises(SettingsError, match=r"needs about .* GiB .* even a batch of one image does not fit"):
        refuse_if_too_large(settings, 10, available=2**28)
    with pytest.raises(
        SettingsError, match=r"needs about .* GiB .* Set `training.batch_size` to (\d+) instead of 128"
    ) as no:
        refuse_if_too_large(settings, 10, available=2**30)
    fits = int(re.findall(r"batch_size` to (\d+)", str(no.value))[0])
    costs = [
        estimate(build_settings("report", overrides={"training.batch_size": n}), 10).memory_bytes
        for n in (fits, 2 * fits)
    ]
    assert costs[0] <= 2**30 < costs[1]
    refuse_if_too_large(settings, 10, available=2**40)


def test_no_batch_has_more_images_than_there_are():
    settings = build_settings("fast", overrides={"hardware.device": "cpu", "data.image_size": 128})
    fifty = build_settings(
        "fast", overrides={"hardware.device": "cpu", "data.image_size": 128, "training.batch_size": 50}
    )
    assert estimate(settings, 10, images=50).memory_bytes == estimate(fifty, 10).memory_bytes
    assert estimate(fifty, 10, images=2000).memory_bytes == estimate(fifty, 10).memory_bytes
    refuse_if_too_large(settings, 10, images=50, available=2**32)
    with pytest.raises(SettingsError, match=r"Set `training.batch_size` to \d+ instead of 2000"):
        refuse_if_too_large(settings, 10, available=2**32)
    with pytest.raises(SettingsError, match=r"Set `training.batch_size` to (1|2|4|8|16|32) instead of 2000"):
        refuse_if_too_large(settings, 10, images=50, available=2**30)
