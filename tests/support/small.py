"""The smallest of trainings, for tests that need real ones, and what to compare of them.

In this module: TINY, LIMIT, settings, figures, until.
"""

import threading
import time

from expertnet.settings.fields import build_settings

LIMIT = 300  # seconds that a loaded machine may take for what takes a few
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


def settings(**overrides):
    """Of a training on the digits that takes a second or so."""
    return build_settings("quick", "digits", TINY | overrides)


def figures(run):
    """The history of a run, less what the clock says."""
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in run.metrics()]


def until(condition, process=None):
    """Waits for a condition, as long as a process that is to bring it about lives."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert process is None or process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "it did not come about"
        threading.Event().wait(0.05)
