"""What config.json says about where a run trains and on what."""

import subprocess
from functools import cache
from pathlib import Path

import torch

from expertnet import __version__
from expertnet.data.datasets import Dataset
from expertnet.data.own.copies import keep_copy
from expertnet.store.run import Run
from expertnet.training.trainer import Trainer
from expertnet.utils.devices import device_name


def describe(run: Run, data: Dataset, trainer: Trainer) -> None:
    """Write to config.json what inference needs to know about the dataset, and where the run trains."""
    environment = {
        "expertnet": __version__,
        "torch": torch.__version__,
        "device": device_name(trainer.device),
        "precision": str(trainer.dtype).removeprefix("torch."),
        "git_revision": git_revision(),
    }
    keep_copy(data.info.fingerprint, run.id)
    run.write_config(run.config() | {"dataset": data.info.to_dict(), "environment": environment})


@cache
def git_revision() -> str | None:
    """Return the commit of this code; None outside a git checkout."""
    try:
        command, folder = ["git", "rev-parse", "HEAD"], Path(__file__).parent
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
