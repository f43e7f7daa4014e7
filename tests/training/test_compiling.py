"""Which trainings are compiled, on paper, and how often one with images of several sizes is compiled."""

import math

import pytest
import torch

from expertnet.network.cost import estimate
from expertnet.network.model import ExpertNet
from expertnet.settings.fields import build_settings
from expertnet.settings.presets import PRESETS
from expertnet.training.updater import is_worth_compiling

CPU, GPU = torch.device("cpu"), torch.device("cuda")
STEM, EXPERTS, ROUTER, HEAD = 3 * 8 * 9 * 64, 2 * 8 * 8 * 9 * 64, 8 * 4 + 4 * 2, 8 * 2
SMALL = {
    "model.num_blocks": 1,
    "model.pool_after": (),
    "model.channels": 8,
    "model.num_experts": 2,
    "model.reduction": 2,
    "data.image_size": 8,
    "training.epochs": 10,
}


def compiles(steps, device=CPU, dtype=torch.bfloat16, batch=128, **more):
    settings = build_settings("quick", "digits", SMALL | {"hardware.compile": "auto"} | more)
    return is_worth_compiling(settings, device, dtype, steps, batch, 2)


def test_a_cpu_with_bf16_compiles_from_200_tera_multiply_adds_of_forward_passes_on():
    assert estimate(build_settings("quick", "digits", SMALL), 2).multiply_adds == STEM + EXPERTS + ROUTER + HEAD
    enough = math.ceil(200e12 / (STEM + EXPERTS + ROUTER + HEAD) / 128 / 10)  # steps of an epoch
    assert compiles(enough) and not compiles(enough - 1)
    assert not compiles(enough, batch=127) and not compiles(enough, **{"training.epochs": 9})
    assert not compiles(enough, dtype=torch.float32)
    assert not compiles(enough, **{"hardware.compile": "off"}) and compiles(1, **{"hardware.compile": "on"})
    assert not compiles(enough, **{"hardware.processes": 2})


def test_a_gpu_compiles_from_2000_steps_on():
    assert compiles(200, GPU, batch=1) and not compiles(199, GPU, batch=1000)


@pytest.mark.parametrize(("preset", "expected"), [("quick", False), ("fast", False), ("max", True), ("report", True)])
def test_presets_that_are_compiled_on_a_cpu_with_bf16_for_50000_images(preset, expected):
    """Smaller images in the first epochs, which the threshold does not count, make no difference."""
    settings = build_settings(preset, "cifar10")
    sizes = settings.data.resolutions or (settings.data.image_size,)
    changed = [settings.data.model_copy(update={"image_size": size}) for size in sizes]
    forward = sum(estimate(settings.model_copy(update={"data": data}), 10).multiply_adds for data in changed)
    assert (forward / len(sizes) * 50_000 * settings.training.epochs >= 200e12) == expected
    batch = settings.training.batch_size
    assert is_worth_compiling(settings, CPU, torch.bfloat16, 50_000 // batch, batch, 10) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "count"), [("fast", 3), ("max", 4)])
def test_images_of_several_sizes_are_compiled_twice(preset, count):
    """For the first size, and then for any: not once for each, which would cost minutes."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    settings = build_settings(preset, "digits", {"model.widths": (24, 24, 30)})
    sizes = PRESETS[preset].values["data"]["resolutions"]
    assert settings.data.resolutions == sizes and len(sizes) == count
    network = ExpertNet(settings.model, 10).train().to(memory_format=torch.channels_last)
    torch.compiler.reset()
    forward, compiled = torch.compile(network, backend=backend), []
    for size in sizes:
        images = torch.randn(4, 3, size, size).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            forward(images).float().sum().backward()
        compiled.append(len(graphs))
    assert compiled == [1, *[2] * (count - 1)]
