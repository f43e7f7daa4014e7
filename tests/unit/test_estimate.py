"""The estimate against figures worked out by hand and against what a step really keeps."""

import re

import pytest
import torch

from expertnet.config import SettingsError
from expertnet.estimate import estimate, refuse_if_too_large
from expertnet.fields import build_settings
from expertnet.model import ExpertNet


def test_parameters_and_multiply_adds_of_the_reports_network():
    result = estimate(build_settings("report"), 10)
    assert result.parameters == sum(p.numel() for p in ExpertNet(build_settings("report").model, 10).parameters())
    pixels = 32 * 32
    convolutions = pixels * (27 * 64 + 8 * 9 * 64 * 3 * 64)
    linear = 8 * (64 * 8 + 8 * 3) + 640
    assert result.multiply_adds == convolutions + linear


def test_memory_follows_what_a_step_keeps():
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


def test_pooling_shows_in_the_sketch():
    sizes = [(stage.name, stage.size) for stage in estimate(build_settings("quick"), 10).stages]
    assert sizes == [
        ("Picture", 32),
        ("Stem", 32),
        ("Block 1", 16),
        ("Block 2", 8),
        ("Block 3", 8),
        ("Block 4", 8),
        ("Classes", 1),
    ]


def test_too_large_for_the_computer_is_refused_with_what_to_change():
    settings = build_settings("report", overrides={"hardware.device": "cpu"})
    with pytest.raises(SettingsError, match=r"needs about .* GiB .* not even one picture"):
        refuse_if_too_large(settings, 10, available=2**28)
    with pytest.raises(
        SettingsError, match=r"needs about .* GiB .* set training.batch_size to (\d+) instead of 128"
    ) as no:
        refuse_if_too_large(settings, 10, available=2**30)
    fits = int(re.findall(r"batch_size to (\d+)", str(no.value))[0])
    costs = [
        estimate(build_settings("report", overrides={"training.batch_size": n}), 10).memory_bytes
        for n in (fits, 2 * fits)
    ]
    assert costs[0] <= 2**30 < costs[1]
    refuse_if_too_large(settings, 10, available=2**40)
