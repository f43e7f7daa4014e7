"""Measure the accuracy of a preset: python -m benchmarks.accuracy --preset P [--seeds 3] [--data D] [--variant V] [--set KEY=VALUE ...]

Trains the preset and prints a row with the mean and standard deviation over the seeds. The validation set chooses the
epoch; the test set is measured once, at the end. Variants show what routing contributes, with the same trainer, data,
epochs and recipe:

    learned     the preset as it is
    uniform     every routing weight fixed at 1/K
    width       one expert per block (K = 1) of the same width
    parameters  one expert per block, wider, with as many parameters
    resnet18    torchvision's ResNet-18 with a 3x3 stem and no pooling after it

With --rows FILE, each training is saved there as a line of JSON, and a saved training is not repeated. `make accuracy`
uses this to continue after an interruption.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any, cast

import torch
import torchvision
from torch import Tensor, nn

from expertnet.data.datasets import load_dataset
from expertnet.network.cost import estimate
from expertnet.network.model import ExpertNet
from expertnet.settings.fields import build_settings, parse_assignments
from expertnet.settings.presets import PRESETS
from expertnet.settings.schema import Settings
from expertnet.training.trainer import Trainer
from expertnet.utils.devices import device_name, resolve_device

VARIANTS = ("learned", "uniform", "width", "parameters", "resnet18")


class Peer(nn.Module):
    """A network without experts with the interface of ExpertNet; its routing is that of a single expert."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images_N3HW: Tensor, return_routing: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        logits = self.net(images_N3HW)
        return (logits, logits.new_ones(len(logits), 1, 1)) if return_routing else logits


def resnet18(num_classes: int) -> ExpertNet:
    net = torchvision.models.resnet18(num_classes=num_classes)
    net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net.maxpool = nn.Identity()
    return cast(ExpertNet, Peer(net))


def changed(settings: Settings, variant: str, num_classes: int) -> Settings:
    """Return the settings of a variant."""
    if variant == "uniform":
        return _with_model(settings, routing="uniform")
    if variant == "width":
        return _with_model(settings, num_experts=1)
    if variant == "parameters":
        wanted = estimate(settings, num_classes).parameters
        choices = [_wider(settings, 1 + step / 64) for step in range(128)]
        return min(choices, key=lambda wider: abs(estimate(wider, num_classes).parameters - wanted))
    return settings


def _with_model(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update={"model": settings.model.model_copy(update=values)})


def _wider(settings: Settings, factor: float) -> Settings:
    model = settings.model
    widths = tuple(round(width * factor) for width in model.widths)
    return _with_model(settings, num_experts=1, widths=widths, channels=round(model.channels * factor))


def train(settings: Settings, variant: str) -> dict[str, float]:
    """Train once and return the parameters, seconds, validation accuracy and test figures."""
    data = load_dataset(settings.data, settings.seed)
    classes = len(data.info.classes)
    network = (lambda: resnet18(classes)) if variant == "resnet18" else None
    trainer = Trainer(settings, data, network=network)
    started, found = time.perf_counter(), {"parameters": float(sum(p.numel() for p in trainer.model.parameters()))}
    for progress in trainer.run():
        for figures in (progress.metrics, progress.test):
            found |= {name: value for name, value in (figures or {}).items() if isinstance(value, float)}
    best = trainer.best["accuracy"]
    return found | {"seconds": time.perf_counter() - started, "validation": best if best is not None else float("nan")}


def trained(settings: Settings, variant: str, file: Path | None) -> dict[str, float]:
    """Return the figures of a training from the file, or train and add them to it."""
    key = {"variant": variant, "settings": settings.model_dump(mode="json"), "torch": torch.__version__}
    for line in file.read_text().splitlines() if file and file.exists() else ():
        saved = json.loads(line)
        if saved["key"] == key:
            return saved["figures"]
    figures = train(settings, variant)
    if file:
        with file.open("a") as rows:
            rows.write(json.dumps({"key": key, "figures": figures}) + "\n")
    return figures


def spread(values: list[float]) -> str:
    return f"{mean(values):.2%}" + (f" ± {stdev(values):.2%}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), required=True)
    parser.add_argument("--variant", choices=VARIANTS, default="learned")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", default="cifar10", help="name of a dataset, or path of a folder or archive")
    parser.add_argument("--rows", type=Path, help="file that saves each training, so that none is repeated")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    options = parser.parse_args()
    settings = build_settings(options.preset, options.data, parse_assignments(options.set))
    classes = len(load_dataset(settings.data, settings.seed).info.classes)
    settings = changed(settings, options.variant, classes)
    rows = [
        trained(settings.model_copy(update={"seed": seed}), options.variant, options.rows)
        for seed in range(options.seeds)
    ]
    device = device_name(resolve_device(settings.hardware.device))
    changes = " ".join(options.set)
    print(
        f"{options.preset} {options.variant} {changes}: {rows[0]['parameters'] / 1e6:.3f} M parameters, {settings.training.epochs} epochs, "
        f"{settings.data.dataset}, n = {len(rows)}, {mean(row['seconds'] for row in rows):.0f} s each on {device} ({platform.machine()})"
    )
    validation = "test, last epoch" if settings.watches_test else "validation, best epoch"
    print(f"  {validation}: {spread([row['validation'] for row in rows])}")
    print(f"  test: {spread([row['test_accuracy'] for row in rows])}")
    if "test_accuracy_mirrored" in rows[0]:
        print(f"  test with mirrored views: {spread([row['test_accuracy_mirrored'] for row in rows])}")
    if "test_accuracy_views" in rows[0]:
        print(f"  test with six views: {spread([row['test_accuracy_views'] for row in rows])}")


if __name__ == "__main__":
    main()
