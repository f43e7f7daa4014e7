"""The engine against the ordinary way of training the report's network, side by side in one run.

    python -m benchmarks.training_speed --data cifar10-jpeg.tar.xz [--repeats 5] [--steps N] [--blocks N] [--device cpu]

"The ordinary way": K separate convolution modules, float32, the default memory layout, a DataLoader with two workers and
transforms image by image, and loss.item() after every step. "The engine" trains the same network with the same batch
size, eager and compiled. "Convolutions alone" are those of the blocks, forward and back, as the engine calls them, and
nothing else: what a step would be in which all the rest took no time. Repeats alternate; a repeat is one warm-up step and N that
count. Prints images a second (median, least, most), the ratios of the medians, the seconds to the first finished step, and the
peak of memory.
"""

import argparse
import platform
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

from expertnet.data.datasets import Dataset, load_dataset
from expertnet.data.splits import Split
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import Settings
from expertnet.training.trainer import Trainer
from expertnet.utils.devices import (
    device_name,
    keep_freed_memory,
    release_freed_memory,
    resolve_device,
    resolve_precision,
)


class OrdinaryBlock(nn.Module):
    def __init__(self, channels: int, num_experts: int, reduction: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, channels // reduction),
            nn.ReLU(),
            nn.Linear(channels // reduction, num_experts),
            nn.Softmax(dim=1),
        )
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
            for _ in range(num_experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.branch(x)
        outputs = torch.stack([expert(x) for expert in self.experts], dim=1)
        return (weights[:, :, None, None, None] * outputs).sum(1)


def ordinary_network(settings: Settings) -> nn.Module:
    model = settings.model
    blocks = [OrdinaryBlock(model.channels, model.num_experts, model.reduction) for _ in range(model.num_blocks)]
    stem = [nn.Conv2d(3, model.channels, 3, padding=1), nn.BatchNorm2d(model.channels), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(model.channels, 10))


class Images(TorchDataset[Any]):
    def __init__(self, split: Split, transform: Any) -> None:
        self.images, self.labels, self.transform = [to_pil_image(i) for i in split.images], split.labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), int(self.labels[index])


def ordinary(settings: Settings, data: Dataset, device: torch.device) -> Iterator[float]:
    """Trains for ever; yields the loss after every step."""
    steps = [
        transforms.RandomCrop(settings.data.image_size, padding=settings.data.crop_padding),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(data.info.mean, data.info.std),
    ]
    inputs = Images(data.train, transforms.Compose(steps))
    loader = DataLoader(inputs, settings.training.batch_size, shuffle=True, num_workers=2, drop_last=True)
    net = ordinary_network(settings).to(device).train()
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=settings.training.lr, weight_decay=settings.training.weight_decay
    )
    while True:
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            yield loss.item()


def engine(settings: Settings, data: Dataset) -> Iterator[None]:
    """Trains as the app does; yields after every step."""
    for progress in Trainer(settings, data).run():
        if progress.kind == "step":
            yield None


def convolutions(settings: Settings, device: torch.device) -> Iterator[None]:
    """Convolves for ever; yields after as many convolutions as a step has in its blocks."""
    model, size, batch = settings.model, settings.data.image_size, settings.training.batch_size
    dtype = resolve_precision(settings.hardware.precision, device)
    experts = model.num_experts if device.type == "cpu" else 1  # where all of them lie in one convolution
    channels_out = model.channels * model.num_experts // experts

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)

    x, gradient = (drawn(batch, channels, size, size) for channels in (model.channels, channels_out))
    kernel = drawn(channels_out, model.channels, 3, 3).requires_grad_()
    x.requires_grad_()
    while True:
        for _ in range(model.num_blocks * experts):
            torch.autograd.grad(F.conv2d(x, kernel, padding=1), (x, kernel), gradient)
        yield None


def timed(way: Iterator[Any], steps: int, device: torch.device) -> float:
    """Seconds that a number of steps take."""
    next(way)
    _wait(device)
    started = time.perf_counter()
    for _ in range(steps):
        next(way)
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="a dataset by name, or a folder or archive")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, help="that count, in a repeat (default: 1 on a CPU, else 50)")
    parser.add_argument("--blocks", type=int, default=8, help="fewer make it quicker, and are said")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    overrides = {"model.num_blocks": options.blocks, "hardware.device": options.device, "hardware.compile": "off"}
    settings = build_settings("report", options.data, overrides)
    compiled = build_settings("report", options.data, overrides | {"hardware.compile": "on"})
    device, batch = resolve_device(options.device), settings.training.batch_size
    steps = options.steps or (1 if device.type == "cpu" else 50)
    data = load_dataset(settings.data, settings.seed)
    started = time.perf_counter()
    data = load_dataset(settings.data, settings.seed)
    eager = engine(settings, data)
    next(eager)
    _wait(device)
    first_step = time.perf_counter() - started
    started = time.perf_counter()
    fast = engine(compiled, data)
    next(fast)
    _wait(device)
    compiling = time.perf_counter() - started
    ways: dict[str, Iterator[Any]] = {
        "the ordinary way": ordinary(settings, data, device),
        "engine, eager": eager,
        "engine, compiled": fast,
        "convolutions alone": convolutions(settings, device),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            (release_freed_memory if name == "the ordinary way" else keep_freed_memory)()  # which is the engine's alone
            speeds[name].append(steps * batch / timed(way, steps, device))
    print(
        f"The report's network, {options.blocks} blocks, batch {batch}, {Path(options.data).name}, {device_name(device)}, "
        f"{platform.machine()}, torch {torch.__version__}; {options.repeats} repeats of {steps} steps; images/s"
    )
    base = median(speeds["the ordinary way"])
    for name, values in speeds.items():
        print(
            f"{name:<18} median {median(values):8.1f}  least {min(values):8.1f}  most {max(values):8.1f}  "
            f"x {median(values) / base:.2f}  an epoch of 50,000: {50_000 / median(values):.1f} s"
        )
    print(
        f"from Start to the first finished step, data decoded before: {first_step:.1f} s eager, {compiling:.1f} s compiled"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak memory of this process, all ways together: {peak / 2**30:.1f} GiB")
    if device.type == "cuda":
        print(f"peak memory on the GPU, all ways together: {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
