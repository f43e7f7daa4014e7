"""Presets: settings that work well together, each with a one-line reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Values that replace the defaults."""

    name: str
    reason: str
    values: Mapping[str, Any]  # by dotted key; other settings have their defaults


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "quick",
            "A small network with pooling. Gives a first result in minutes on a laptop CPU.",
            {
                "model.num_blocks": 4,
                "model.channels": 32,
                "model.pool_after": (1, 2),
                "training.epochs": 12,
                "training.lr": 4e-3,
                "training.weight_decay": 1e-2,
                "training.schedule": "one_cycle",
                "training.warmup_share": 0.2,
                "data.crop_padding": 2,
            },
        ),
        Preset(
            "compact",
            "The included photo network: 0.7 M parameters, residual blocks, Muon. Takes a few hours on a laptop CPU.",
            {
                "model.num_blocks": 5,
                "model.channels": 32,
                "model.pool_after": (1, 3),
                "model.widths": (16, 48, 128),
                "model.residual": True,
                "training.epochs": 20,
                "training.optimizer": "muon",
                "training.lr": 6e-3,
                "training.router_lr_share": 0.1,
                "training.weight_decay": 2e-2,
                "training.decay_all": False,
                "training.momentum": 0.95,
                "training.schedule": "one_cycle",
                "training.warmup_share": 0.15,
                "training.label_smoothing": 0.1,
                "data.crop_padding": 3,
                "data.alternating_flip": True,
            },
        ),
        Preset(
            "report",
            "The reference report's network and hyper-parameters (90.53% on CIFAR-10). Monitors the test set, as the report did.",
            {"data.validation_share": 0.0},
        ),
    )
}
DEFAULT_PRESET = "quick"
