"""A training of about a second, and how to compare and wait for trainings."""

import subprocess
import time
from collections.abc import Callable
from typing import Any

from expertnet.settings.fields import build_settings
from expertnet.settings.schema import Settings
from expertnet.store.checks import resume_fault
from expertnet.store.run import Run
from expertnet.store.status import RESUMABLE_STATES

LIMIT = 300  # seconds that a busy machine may take for what takes a few
TINY = {
    "model.num_blocks": 1,
    "model.pool_after": (),
    "model.channels": 8,
    "model.reduction": 2,
    "data.image_size": 8,
    "data.crop_padding": 1,
    "training.epochs": 1,
    "hardware.device": "cpu",
    "hardware.precision": "fp32",
}


def settings(**overrides: object) -> Settings:
    """Return settings of a training on the digits that takes about a second."""
    return build_settings("quick", "digits", TINY | overrides)


def figures(run: Run) -> list[dict[str, Any]]:
    """Return the history of a run without what a clock measured."""
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in run.metrics()]


def can_resume(run: Run) -> bool:
    """Return whether the pages offer to resume a run."""
    return run.state in RESUMABLE_STATES and resume_fault(run) is None


def until(condition: Callable[[], object], process: subprocess.Popen[Any] | None = None) -> None:
    """Wait until a condition holds. Fails if the process that should bring it about ends first."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert process is None or process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.05)
