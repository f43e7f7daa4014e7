"""What every row shares: the device, the images, the time that is left, and the file of rows."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.accuracy import data_title
from expertnet.data.datasets import Dataset, load_dataset
from expertnet.settings.fields import build_settings, settings_from_dict
from expertnet.settings.schema import Settings
from expertnet.training.compiling import compiled
from expertnet.training.describe import git_revision
from expertnet.utils.devices import device_name, resolve_device

MINIATURE: dict[str, Any] = {"data.image_size": 16, "training.batch_size": 8, "training.epochs": 2}
SMALLER = {"data.resolutions": (12, 14, 16)}  # as in the presets, which show them in the first epochs
MINIATURE_MODEL: dict[str, dict[str, Any]] = {
    "report": {"model.num_blocks": 2, "model.channels": 8},
    "fast": {"model.widths": (24, 24, 24)} | SMALLER,
    "max": {"model.widths": (24, 24, 30), "data.cutout": 4} | SMALLER,
}

Figures = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """Where and with what to measure. `miniature` shrinks every row, so that a test can run them all on a CPU."""

    device_setting: str
    data_setting: str
    runs: Path  # the folder of the trainings
    deadline: float  # time.monotonic() at which measuring ends
    miniature: bool

    @cached_property
    def device(self) -> torch.device:
        """The device. Raises SettingsError if this computer has none."""
        return resolve_device(self.device_setting)

    @cached_property
    def dataset(self) -> Dataset:
        """The images, of which none are held out."""
        settings = self.settings("report")
        return load_dataset(settings.data, settings.seed)

    def settings(self, preset: str, overrides: Mapping[str, Any] | None = None) -> Settings:
        """Return the settings of a preset that trains on all training images and tests the last epoch."""
        fixed = {"hardware.device": self.device_setting, "data.validation_share": 0.0, "data.six_views": True}
        small = MINIATURE | MINIATURE_MODEL[preset.partition("-")[0]] if self.miniature else {}
        return build_settings(preset, self.data_setting, fixed | small | dict(overrides or {}))

    def compiled(self, network: Callable[..., Any], options: dict[str, Any] | None = None) -> Callable[..., Any]:
        """Return a compiled network. The miniature does not call it, because a CPU takes a minute to compile."""
        torch.compiler.reset()  # as a training does
        made = compiled(network, self.device, options)
        return network if self.miniature else made

    def wait(self) -> None:
        """Wait until the device has finished what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def repeats(self) -> int:
        """How often a speed is measured."""
        return 2 if self.miniature else 5

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()


@dataclass(frozen=True)
class Row:
    """Something to measure. `measure` returns None if time ran out; the next call continues then."""

    name: str
    measure: Callable[[], Figures | None]
    settings: Settings | None = None  # None if no images are needed
    seconds: float = 30  # that must be left
    n: int = 1  # trainings, or repeats of a measurement
    on_any_device: bool = False  # whether a row from another device will do, as for accuracies
    checks: bool = False  # the code, which may have changed, so an earlier row will not do


class Rows:
    """The file of rows: one line of JSON each. A line that was cut off is ignored."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> list[dict[str, Any]]:
        found = []
        for line in self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else ():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def has(self, row: Row, bench: Bench) -> bool:
        """Return whether a row need not be measured. Settings that are newer than a line have their defaults there."""
        wanted = _key(row, bench)
        settings = wanted.pop("settings", None)
        if row.on_any_device:
            del wanted["device"], wanted["torch"]
        found = [line for line in self.read() if not row.checks and wanted.items() <= line.items()]
        return any(settings is None or settings == _current(line["settings"]) for line in found)

    def add(self, row: Row, bench: Bench, figures: Figures) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        cut = self.file.exists() and not self.file.read_bytes().endswith(b"\n")
        with self.file.open("a", encoding="utf-8") as file:
            measured = {"date": datetime.now(UTC).date().isoformat(), "revision": git_revision()}
            line = _key(row, bench) | measured | {"n": row.n, "figures": figures}
            file.write("\n" * cut + json.dumps(line) + "\n")


def _key(row: Row, bench: Bench) -> dict[str, Any]:
    """Return what identifies a measurement: what is measured, with which settings and images, on which device."""
    key: dict[str, Any] = {"row": row.name, "device": device_name(bench.device), "torch": torch.__version__}
    if row.settings:
        settings = row.settings.model_dump(mode="json")
        settings["hardware"]["device"], settings["data"]["dataset"] = "auto", data_title(bench.data_setting)
        key |= {"data": settings["data"]["dataset"], "images": bench.dataset.info.content, "settings": settings}
    return key


def _current(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a line with those that are newer than it."""
    return settings_from_dict(settings).model_dump(mode="json")
