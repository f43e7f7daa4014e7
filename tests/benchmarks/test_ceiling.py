"""The convolutions of a training step, counted on paper, and called as they were recorded."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.accuracy import resnet18
from benchmarks.ceiling import Convolution, caller, convolutions_of, multiply_adds, recorded
from expertnet.network.model import ExpertNet
from expertnet.settings.fields import build_settings
from expertnet.settings.presets import PRESETS

CPU = torch.device("cpu")
TINY = {
    "model.num_blocks": 2,
    "model.num_experts": 2,
    "model.pool_after": (1,),
    "model.pool_before_norm": False,
    "model.widths": (4, 6),
    "data.image_size": 8,
    "hardware.device": "cpu",
    "hardware.precision": "fp32",
}


def test_multiply_adds_on_paper():
    """The stem has no gradient of its input. The first block is plain, and the second has two experts on half the pixels."""
    settings = build_settings("quick", "digits", TINY | {"model.expert_blocks": (2,)})
    found = convolutions_of(settings, CPU)
    stem, first, second = 3 * 4 * 9 * 64, 4 * 4 * 9 * 64, 2 * 4 * 6 * 9 * 16
    assert multiply_adds(found) == 2 * stem + 3 * first + 3 * second == 62_208
    assert [each.gradients for each in found] == [None] * 4 + [(True, True)] * 3 + [(False, True)]
    assert all(each.dtype == torch.float32 for each in found)


def test_a_frozen_whitened_stem_has_no_backward_pass():
    settings = build_settings("fast", "digits", {"hardware.device": "cpu", "hardware.precision": "bf16"})
    found = convolutions_of(settings, CPU)
    kernels = [each.kernel for each in found if each.gradients]
    assert len(found) - len(kernels) == 1 + 4 + 2 * 3 and (24, 3, 2, 2) not in kernels
    assert {each.dtype for each in found} == {torch.bfloat16}


@pytest.mark.slow
def test_a_resnet_is_counted_as_torch_counts_it():
    net = resnet18(10)
    counter = FlopCounterMode(display=False)
    with counter:
        net.train()(torch.randn(2, 3, 32, 32)).sum().backward()
    flops = counter.get_flop_counts()["Global"]
    both = flops[torch.ops.aten.convolution] + flops[torch.ops.aten.convolution_backward]
    assert multiply_adds(recorded(net, 32)) * 2 * 2 == both  # two images, two operations


def operations(preset, images=50_000):
    """Count the operations of a whole training: of its convolutions, each size of images for the same share of the steps."""
    settings = build_settings(preset, "cifar10", {"hardware.device": "cpu", "hardware.precision": "fp32"})
    sizes = settings.data.resolutions or (settings.data.image_size,)
    model = ExpertNet(settings.model, 10)
    per_image = sum(2 * multiply_adds(recorded(model, size)) for size in sizes) / len(sizes)
    return per_image * images * settings.training.epochs


@pytest.mark.slow
def test_fast_needs_the_share_of_the_reports_computation_that_it_names():
    report, fast = operations("report"), operations("fast")
    assert (round(report / 1e15, 1), round(fast / 1e15, 2)) == (27.2, 0.51)  # as in docs/benchmarks.md
    assert 45 < report / fast < 55 and "a fiftieth of the report's computation" in PRESETS["fast"].reason


def test_calls_what_was_recorded():
    found = [
        Convolution((3, 8, 8), (4, 4, 4), (4, 3, 3, 3), (2, 2), (1, 1), torch.float32),
        Convolution((4, 4, 4), (6, 3, 3), (6, 4, 2, 2), (1, 1), (0, 0), torch.float32, (True, True)),
    ]
    counter = FlopCounterMode(display=False)
    with counter:
        caller(found, 5, CPU, torch.channels_last)()
    assert counter.get_total_flops() == 2 * 5 * multiply_adds(found) == 10 * (4 * 3 * 9 * 16 + 2 * 6 * 4 * 4 * 9)
