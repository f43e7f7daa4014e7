"""Read an exported network from its files: settings, what it knows about its images, and weights."""

from pathlib import Path
from typing import Any

import torch
from pydantic_core import from_json
from safetensors import SafetensorError, safe_open
from torch import Tensor

from expertnet.data.info import DatasetInfo
from expertnet.errors import RunError
from expertnet.settings.fields import settings_from_dict
from expertnet.settings.schema import Settings

CONFIG, WEIGHTS = "config.json", "model.safetensors"
OF_A_RUN = "best.safetensors"


def read_pretrained(path: Path) -> tuple[Settings, DatasetInfo, dict[str, Tensor]]:
    """Return the settings, the dataset and the weights in a folder or file, in float32.

    A folder holds config.json and model.safetensors, as an export or a run does (whose best weights are read). A file is
    safetensors, with the config in its metadata. Raises RunError, or SettingsError if the settings come from another version.
    """
    folder = path.is_dir()
    file = (
        next((path / name for name in (WEIGHTS, OF_A_RUN) if (path / name).is_file()), path / WEIGHTS)
        if folder
        else path
    )
    try:
        with safe_open(file, framework="pt") as opened:
            # Copies, since a file that is replaced would take the weights away
            weights = {name: in_float32(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118 (not a dict)
            inside = (opened.metadata() or {}).get("config", "")
        config: Any = from_json((path / CONFIG).read_bytes() if folder else inside)
        return settings_from_dict(config), DatasetInfo.from_dict(config["dataset"]), weights
    except FileNotFoundError:
        raise RunError(
            f"There is no network in {path}. Name a folder with {CONFIG} and {WEIGHTS}, or a file, as "
            "'expertnet export RUN --format safetensors' writes them."
        ) from None
    except (AttributeError, KeyError, OSError, OverflowError, SafetensorError, TypeError, ValueError):
        raise RunError(f"The network in {path} is damaged or lacks its settings. Export it again.") from None


def in_float32(weight: Tensor) -> Tensor:
    """Return a copy, in float32 if it is a floating-point tensor."""
    return weight.to(torch.float32, copy=True) if weight.is_floating_point() else weight.clone()
