"""Which trainings are compiled, how often one with images of several sizes is, and what happens if that fails."""

import math

import pytest
import torch
import torch.distributed as dist

from expertnet.errors import RunError
from expertnet.network.cost import estimate
from expertnet.network.evaluation import full_precision
from expertnet.network.model import ExpertNet
from expertnet.settings.fields import build_settings
from expertnet.settings.presets import PRESETS
from expertnet.training.compiling import FUSE_LONG_EXPRESSIONS, all_kernels, compiled, is_worth_compiling
from expertnet.training.parallel import Group
from expertnet.training.trainer import Trainer
from tests.support.colors import TINY, epochs, trainer

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


def compiles(steps, device=CPU, batch=128, **more):
    settings = build_settings("quick", "digits", SMALL | {"hardware.compile": "auto"} | more)
    return is_worth_compiling(settings, device, steps, batch, 2)


def test_a_cpu_compiles_from_200_tera_multiply_adds_of_forward_passes_on():
    assert estimate(build_settings("quick", "digits", SMALL), 2).multiply_adds == STEM + EXPERTS + ROUTER + HEAD
    enough = math.ceil(200e12 / (STEM + EXPERTS + ROUTER + HEAD) / 128 / 10)  # steps of an epoch
    assert compiles(enough) and not compiles(enough - 1)
    assert not compiles(enough, batch=127) and not compiles(enough, **{"training.epochs": 9})
    assert not compiles(enough, **{"hardware.compile": "off"}) and compiles(1, **{"hardware.compile": "on"})
    assert not compiles(enough, **{"hardware.processes": 2})


def test_the_compiler_knows_the_options_for_a_gpu(monkeypatch):
    given = []
    monkeypatch.setattr(torch, "compile", lambda network, options: given.append(options))
    compiled(len, torch.device("cuda"), {"triton.cudagraphs": True})
    compiled(len, CPU)
    assert given == [{**FUSE_LONG_EXPRESSIONS, "triton.cudagraphs": True}, {}]


def test_all_kernels_are_tried_for_the_time_of_a_step_also_if_it_fails_or_another_thread_computes_in_full_precision():
    def tries():
        return torch.backends.cudnn.benchmark, torch.backends.cudnn.benchmark_limit

    def step():
        with all_kernels(True):
            with full_precision(CPU):
                assert tries() == (True, 0)
            assert tries() == (True, 0)
            raise KeyError

    assert tries() == (False, 10)
    with pytest.raises(KeyError):
        step()
    assert tries() == (False, 10)
    with all_kernels(False):
        assert tries() == (False, 10)


def test_a_gpu_compiles_from_2000_steps_on():
    assert compiles(200, GPU, batch=1) and not compiles(199, GPU, batch=1000)


@pytest.mark.parametrize(("preset", "expected"), [("quick", False), ("fast", False), ("max", True), ("report", True)])
def test_presets_that_are_compiled_on_a_cpu_for_50000_images(preset, expected):
    """Smaller images in the first epochs, which the threshold does not count, make no difference."""
    settings = build_settings(preset, "cifar10")
    sizes = settings.data.resolutions or (settings.data.image_size,)
    changed = [settings.data.model_copy(update={"image_size": size}) for size in sizes]
    forward = sum(estimate(settings.model_copy(update={"data": data}), 10).multiply_adds for data in changed)
    assert (forward / len(sizes) * 50_000 * settings.training.epochs >= 200e12) == expected
    batch = settings.training.batch_size
    assert is_worth_compiling(settings, CPU, 50_000 // batch, batch, 10) == expected


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


class BrokenBackward(torch.autograd.Function):
    """The identity, whose gradient cannot be computed."""

    @staticmethod
    def forward(context, logits):
        return logits.clone()

    @staticmethod
    def backward(context, gradient):
        raise RuntimeError("no compiler here")


@pytest.mark.slow
@pytest.mark.parametrize("pass_", ["forward", "backward"])
def test_compiled_falls_back_to_eager_with_a_sentence(data, monkeypatch, pass_):
    def broken(model, options):
        def call(*arguments):
            if pass_ == "backward":
                return BrokenBackward.apply(model(*arguments))
            raise RuntimeError("no compiler here")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    said = []
    run = Trainer(
        build_settings("quick", overrides=TINY | {"hardware.compile": "on"}), data, threads=1, log=said.append
    )
    assert epochs(run.run()) == epochs(trainer(data).run())
    assert len(said) == 1 and "continues without" in said[0]


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [("no compiler here", RunError, "Resume the run with one process"), ("gloo: closed", RuntimeError, "gloo: closed")],
)
def test_one_of_several_processes_does_not_go_on_without_compiling(data, monkeypatch, fault, kind, says):
    """The others would wait for it forever. If they have ended, that is what is said."""

    def broken(model, options):
        def call(*arguments):
            raise RuntimeError(fault)

        return call

    monkeypatch.setattr(torch, "compile", broken)
    chosen = build_settings("quick", overrides=TINY | {"hardware.compile": "on", "hardware.processes": 2})
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        with pytest.raises(kind, match=says):
            next(Trainer(chosen, data, threads=1, group=Group(0, 2)).run())
    finally:
        dist.destroy_process_group()


@pytest.mark.long
def test_a_process_that_has_compiled_many_networks_compiles_the_next_one_too(data, monkeypatch):
    """torch compiles only a number of networks of a class, which is 8 by default, and runs the others as they are."""
    compile, calls = torch.compile, []

    def backend(graph, inputs):
        def run(*arguments):
            calls.append(graph)
            return graph(*arguments)

        return run

    monkeypatch.setattr(torch, "compile", lambda model, options: compile(model, backend=backend))
    with torch._dynamo.config.patch(recompile_limit=1):
        for width in (8, 12):
            calls.clear()
            next(trainer(data, **{"hardware.compile": "on", "model.channels": width}).run())
            assert calls, width


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "compiles"),
    [({}, True), ({"training.epochs": 30}, False), ({"hardware.precision": "fp32"}, True)],
    ids=["long", "short", "float32"],
)
def test_only_long_runs_are_compiled_on_a_cpu(data, settings, compiles):
    long = {"model.num_blocks": 12, "model.channels": 256, "training.epochs": 10_000, "hardware.precision": "bf16"}
    run = trainer(data, **long | settings)
    assert (run.updater.forward is not run.model) == compiles
