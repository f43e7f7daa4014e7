"""Whole trainings. Each is a run in a store, so that the next call resumes one that ran out of time."""

import time
from statistics import median

from benchmarks import accuracy
from benchmarks.gpu.bench import Bench, Figures
from expertnet.errors import UserError
from expertnet.settings.schema import Settings
from expertnet.store.run_store import RunStore
from expertnet.training.stop import Stop

CONTROLS = ("uniform", "width", "parameters")


class Deadline(Stop):
    """Stops a training when the time is over."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = at  # time.monotonic()

    def is_set(self) -> bool:
        return super().is_set() or time.monotonic() >= self.at


def training_settings(bench: Bench, network: str, variant: str, seed: int) -> Settings:
    """Return the settings of a training. `network` is a preset."""
    settings = bench.settings(network, {"seed": seed})
    return accuracy.changed(settings, variant, len(bench.dataset.info.classes))


def train(bench: Bench, settings: Settings, network: str, variant: str) -> Figures | None:
    """Train from the last completed epoch, and return the figures; None if time ran out before the end.

    Raises UserError if the training fails.
    """
    store, stop = RunStore(bench.runs), Deadline(bench.deadline)
    store.root.mkdir(parents=True, exist_ok=True)
    try:
        run = accuracy.train(settings, network, variant, store, stop)
    except UserError:
        if stop.is_set():
            return None
        raise
    seconds = [row["seconds"] or 0.0 for row in run.metrics()]
    return {**accuracy.measured(run, network, variant, []), "epoch_seconds": median(seconds)}
