"""How fast training steps are, and how fast the device could be."""

import math
import time
from collections.abc import Callable, Generator
from statistics import median
from typing import Any

import torch

from benchmarks.ceiling import FULL_SIZE, convolutions, convolutions_of, multiply_adds
from benchmarks.gpu.bench import Bench, Figures
from benchmarks.training_speed import baseline, timed, trained
from expertnet.network.cost import estimate
from expertnet.network.model import ExpertNet
from expertnet.settings.schema import Settings
from expertnet.training.compiling import all_kernels
from expertnet.training.trainer import Trainer

WARM_UP = 10  # steps; a CUDA graph is recorded in the first ones
STEPS = 100  # in a repeat
LOADED = 12_800  # images in a repeat of the ordinary loop, whose data loader transforms one at a time
WAYS: dict[str, dict[str, Any]] = {
    "ordinary loop": {},
    "ordinary step": {"hardware.precision": "fp32", "hardware.channels_last": False},
    "eager": {},
    "compiled": {},
    "CUDA graph": {},
    "recorded": {},
    "compiled and recorded": {},
    "convolutions only": {},
}
COMPILED: dict[str, dict[str, Any]] = {
    "compiled": {},
    "CUDA graph": {"triton.cudagraphs": True},  # as with the mode reduce-overhead
    "compiled and recorded": {},
}


def way_settings(bench: Bench, preset: str, way: str) -> Settings:
    """Return the settings of a way to train. What is compiled is chosen here, not by the trainer."""
    return bench.settings(preset, WAYS[way] | {"hardware.compile": "off"} | FULL_SIZE)


def speed(bench: Bench, settings: Settings, preset: str, way: str) -> Figures:
    """Return the images per second of a way to train: the median repeat, the slowest and the fastest."""
    batch = settings.training.batch_size
    length = 1 if bench.miniature else min(STEPS, math.ceil(LOADED / batch)) if way == "ordinary loop" else STEPS
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(bench.device)
    started = time.perf_counter()
    steps = _steps(bench, settings, preset, way)
    next(steps)
    bench.wait()
    first = time.perf_counter() - started
    for _ in range(1 if bench.miniature else WARM_UP):
        next(steps)
    speeds = [length * batch / timed(steps, length, bench.device) for _ in range(bench.repeats)]
    steps.close()
    cost = estimate(settings, len(bench.dataset.info.classes))
    return {
        "images_per_second": median(speeds),
        "slowest": min(speeds),
        "fastest": max(speeds),
        "first_step_seconds": first,
        "steps": length,
        "flops_per_image": 2 * multiply_adds(convolutions_of(settings, torch.device("cpu"))),
        "bytes_per_image": 2 * cost.image_bytes,  # what the backward pass needs is written once and read once
        "peak_bytes": torch.cuda.max_memory_allocated(bench.device) if bench.device.type == "cuda" else None,
    }


def _steps(bench: Bench, settings: Settings, preset: str, way: str) -> Generator[Any]:
    """Train endlessly and yield after every step."""
    data = bench.dataset
    if way == "ordinary loop":
        network = None if preset == "report" else ExpertNet(settings.model, len(data.info.classes))
        yield from baseline(settings, data, bench.device, network)
    if way == "convolutions only":
        with all_kernels(bench.device.type == "cuda"):
            yield from convolutions(settings, bench.device)
    trainer = Trainer(settings, data, log=_fail)
    if "recorded" not in way:
        trainer.updater.recorder = None
    if way in COMPILED:
        trainer.updater.forward, trainer.updater.compiled = bench.compiled(trainer.model, COMPILED[way]), True
    yield from trained(trainer)


def _fail(sentence: str) -> None:
    """Do not measure the eager network in place of the compiled one."""
    raise RuntimeError(sentence)


def ceilings(bench: Bench) -> Figures:
    """Return the operations and bytes per second that the device reaches in a large matrix product and a large copy."""
    size, length = (256, 2**20) if bench.miniature else (8192, 2**32)
    a, b = (torch.randn(size, size, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
    target = torch.empty_like(a)
    product = _seconds(bench, lambda: torch.mm(a, b, out=target))
    source = torch.randint(256, (length,), device=bench.device, dtype=torch.uint8)
    copy = torch.empty_like(source)
    copying = _seconds(bench, lambda: copy.copy_(source))
    return {"matmul_flops": 2 * size**3 / product, "copy_bytes": 2 * length / copying}


def _seconds(bench: Bench, run: Callable[[], Any]) -> float:
    """Return the median seconds of a call, from rounds of ten after a warm-up round."""
    rounds = []
    for _ in range(1 + bench.repeats):
        bench.wait()
        started = time.perf_counter()
        for _ in range(10):
            run()
        bench.wait()
        rounds.append((time.perf_counter() - started) / 10)
    return median(rounds[1:])
