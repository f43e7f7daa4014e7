"""Presets: settings that work well together, each with a one-line reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Values that replace the defaults."""

    reason: str
    values: Mapping[str, Mapping[str, Any]]  # by section and name; other settings have their defaults


# airbench94_muon (Jordan 2024, arXiv:2404.00498), whose network has no experts
FAST: dict[str, dict[str, Any]] = {
    "model": {
        "num_blocks": 6,
        "pool_after": (1, 3, 5),
        "widths": (64, 256, 256),
        "expert_blocks": (5, 6),
        "activation": "gelu",
        "pool_before_norm": True,
        "whitened_stem": True,
        "dirac": True,
        "norm_scale": False,
        "norm_momentum": 0.4,
        "head": "max",
    },
    "training": {
        "epochs": 12,
        "batch_size": 2000,
        "optimizer": "muon_sgd",
        "lr": 0.24,
        "momentum": 0.6,
        "sgd_lr": 0.67,
        "sgd_momentum": 0.85,
        "bias_lr_share": 0.08,
        "router_lr_share": 0.005,
        "decay_all": False,
        "weight_decay": 4e-3,
        "schedule": "one_cycle",
        "label_smoothing": 0.2,
    },
    "data": {
        "crop_padding": 2,
        "crop_fill": "reflect",
        "alternating_flip": True,
        "resolutions": (24, 28, 32),
        "six_views": True,
    },
}

MUON: dict[str, Any] = {
    "optimizer": "muon",
    "lr": 6e-3,
    "momentum": 0.95,
    "router_lr_share": 0.1,  # routers collapsed at the full rate
    "decay_all": False,
    "weight_decay": 2e-2,
    "schedule": "one_cycle",
}

PRESETS = {
    "quick": Preset(
        "A small network with pooling, for first results.",
        {
            "model": {
                "num_blocks": 4,
                "channels": 32,
                "pool_after": (1, 2),
                "pool_before_norm": True,
                "dirac": True,
                "norm_momentum": 0.4,
            },
            "training": {**MUON, "epochs": 12, "warmup_share": 0.2},
            "data": {"crop_padding": 2, "crop_fill": "reflect", "alternating_flip": True},
        },
    ),
    "fast": Preset(
        "A recipe for photos that needs a fiftieth of the report's computation, with experts in the last two of six blocks.",
        FAST,
    ),
    "max": Preset(
        "The recipe of fast for the highest accuracy: a network about twice as wide, and more than twice as many epochs.",
        {
            "model": {**FAST["model"], "widths": (128, 384, 512), "expert_blocks": (6,)},
            "training": {**FAST["training"], "epochs": 30},
            "data": {**FAST["data"], "crop_padding": 4, "cutout": 12, "resolutions": (20, 24, 28, 32)},
        },
    ),
    "report": Preset(
        "The reference report's network and hyperparameters (90.53% on the original CIFAR-10). Measures the test set after every epoch.",
        {"data": {"validation_share": 0.0}},
    ),
    "report-tuned": Preset(
        "The reference report's network with a better recipe: Muon, a warm-up, label smoothing, alternating flips and cutout.",
        {
            "training": {**MUON, "warmup_share": 0.15, "label_smoothing": 0.1},
            "data": {"crop_padding": 3, "alternating_flip": True, "cutout": 12},
        },
    ),
}
DEFAULT_PRESET = "quick"
