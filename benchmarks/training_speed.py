"""Compare the trainer with a conventional training loop, and with the machine's ceiling, in one process.

    python -m benchmarks.training_speed --data cifar10-jpeg.tar.xz [--preset fast] [--repeats 5] [--steps N] [--device cpu]

The baseline trains the report's network with K separate convolution modules, float32, the default memory layout, a
DataLoader with two workers that transforms one image at a time, and loss.item() after every step. The trainer trains the
network of the preset with the same batch size, eager and compiled. "Convolutions only" is the ceiling: the convolutions of
a step as the trainer calls them, forward and backward, as if everything else took no time (benchmarks.ceiling). All steps are
at the full image size, also of presets whose first epochs use smaller images.

Repeats alternate between the ways; a repeat is one warm-up step and N measured steps. Prints images per second (median,
minimum, maximum), the ratios of the medians to the first way and to the ceiling, the seconds to the first finished step,
and the peak memory.
"""

import argparse
import platform
import resource
import time
from collections.abc import Generator, Iterator, Mapping
from itertools import count
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

from benchmarks.ceiling import FULL_SIZE, convolutions, convolutions_of, multiply_adds
from expertnet.data.datasets import Dataset, load_dataset
from expertnet.data.splits import Split
from expertnet.settings.fields import build_settings, parse_assignments
from expertnet.settings.presets import PRESETS
from expertnet.settings.schema import Settings
from expertnet.training.trainer import Trainer
from expertnet.utils.devices import device_name, resolve_device
from expertnet.utils.memory import keep_freed_memory, release_freed_memory


class BaselineBlock(nn.Module):
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


def baseline_network(settings: Settings) -> nn.Module:
    model = settings.model
    blocks = [BaselineBlock(model.channels, model.num_experts, model.reduction) for _ in range(model.num_blocks)]
    stem = [nn.Conv2d(3, model.channels, 3, padding=1), nn.BatchNorm2d(model.channels), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(model.channels, 10))


class Images(TorchDataset[Any]):
    def __init__(self, split: Split, transform: Any) -> None:
        self.images, self.labels, self.transform = [to_pil_image(i) for i in split.images], split.labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), int(self.labels[index])


def baseline(
    settings: Settings, data: Dataset, device: torch.device, network: nn.Module | None = None
) -> Iterator[float]:
    """Train the report's network, or another, endlessly and yield the loss after every step."""
    steps = [
        transforms.RandomCrop(settings.data.image_size, padding=settings.data.crop_padding),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(data.info.mean, data.info.std),
    ]
    inputs = Images(data.train, transforms.Compose(steps))
    loader = DataLoader(inputs, settings.training.batch_size, shuffle=True, num_workers=2, drop_last=True)
    net = (network or baseline_network(settings)).to(device).train()
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


def speed_settings(preset: str, data: str, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings of a preset whose steps are all at the full image size."""
    return build_settings(preset, data, dict(overrides) | FULL_SIZE)


def trained(trainer: Trainer) -> Generator[None]:
    """Take the steps of Trainer.run endlessly, without its evaluations, and yield after every step."""
    trainer.model.train()
    for epoch in count(1):
        order = torch.randperm(len(trainer.train), generator=trainer.generator).to(trainer.device, non_blocking=True)
        for step in range(trainer.steps):
            chosen = order[step * trainer.batch_size : (step + 1) * trainer.batch_size]
            loss, _ = trainer.updater.step(chosen, epoch, done=0.5)
            if trainer.device.type == "cpu" or step % 20 == 0:
                loss.item()  # as the trainer reads it
            yield None


def timed(way: Iterator[Any], steps: int, device: torch.device) -> float:
    """Return the seconds that a number of steps take, after one warm-up step."""
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
    parser.add_argument("--data", default="cifar10", help="name of a dataset, or path of a folder or archive")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="report", help="only the report's has a baseline")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, help="measured steps in a repeat (default: 1 on a CPU, else 50)")
    parser.add_argument("--blocks", type=int, help="fewer blocks of the report's network take less time")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    options = parser.parse_args()
    overrides = {"hardware.device": options.device} | parse_assignments(options.set)
    if options.blocks:
        overrides["model.num_blocks"] = str(options.blocks)
    settings, compiled = (
        speed_settings(options.preset, options.data, overrides | {"hardware.compile": compile})
        for compile in ("off", "on")
    )
    device, batch = resolve_device(settings.hardware.device), settings.training.batch_size
    steps = options.steps or (1 if device.type == "cpu" else 50)
    data = load_dataset(settings.data, settings.seed)
    started = time.perf_counter()
    data = load_dataset(settings.data, settings.seed)
    eager = trained(Trainer(settings, data))
    next(eager)
    _wait(device)
    first_step = time.perf_counter() - started
    started = time.perf_counter()
    fast = trained(Trainer(compiled, data))
    next(fast)
    _wait(device)
    compiling = time.perf_counter() - started
    ways: dict[str, Iterator[Any]] = {"trainer, eager": eager, "trainer, compiled": fast}
    if options.preset == "report":
        ways = {"baseline": baseline(settings, data, device)} | ways
    ways["convolutions only"] = convolutions(settings, device)
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            # Only the trainer keeps freed memory
            (release_freed_memory if name == "baseline" else keep_freed_memory)()
            speeds[name].append(steps * batch / timed(way, steps, device))
    print(
        f"The network of {options.preset}, {settings.model.num_blocks} blocks, batch {batch}, {Path(options.data).name}, "
        f"{device_name(device)}, {platform.machine()}, torch {torch.__version__}; {options.repeats} repeats of {steps} steps; images/s"
    )
    base, best = (median(speeds[name]) for name in (next(iter(ways)), "convolutions only"))
    per_image = 2 * multiply_adds(convolutions_of(settings, device))
    for name, values in speeds.items():
        print(
            f"{name:<18} median {median(values):8.1f}  min {min(values):8.1f}  max {max(values):8.1f}  "
            f"x {median(values) / base:.2f}  {median(values) / best:.0%} of the ceiling  "
            f"{median(values) * per_image / 1e9:.0f} GFLOP/s  an epoch of 50,000 images: {50_000 / median(values):.1f} s"
        )
    print(
        f"from the start to the first finished step, with decoded data: {first_step:.1f} s eager, {compiling:.1f} s compiled"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak memory of this process: {peak / 2**30:.1f} GiB")
    if device.type == "cuda":
        print(f"peak memory on the GPU: {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
