"""A run in Weights & Biases, or in a folder of the run that `wandb sync` uploads, if nobody is logged in.

WANDB_MODE chooses between online and offline, and WANDB_PROJECT names the project. Every other environment variable of W&B works,
too.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from expertnet.settings.fields import flat
from expertnet.store.run import Run
from expertnet.training.trackers.record import Tracked

PROJECT = "expertnet"


class WandbTracker:
    """Creates a run in W&B and sends to it."""

    def begin(self, run: Run, tracked: Tracked) -> Tracked:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing is sent that nobody asked for
        import wandb

        mode: Any = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False) else "offline")
        facts = {"run": run.id, "preset": run.preset, "dataset": run.dataset}
        self.wandb: Any = wandb
        self.run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=run.id,
            name=run.title,
            mode=mode,
            dir=run.path,
            resume="allow",
            config=flat(run.settings()) | facts,
            settings=wandb.Settings(
                console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True, x_disable_meta=True
            ),
        )
        for axis in ("epoch", "step"):
            self.run.define_metric(axis, hidden=True)
        self.run.define_metric("*", step_metric="epoch")
        self.run.define_metric("step/*", step_metric="step")
        command = "" if mode == "online" else f"wandb sync {shlex.quote(str(run.path / 'wandb'))}/offline-run-*"
        return replace(tracked, id=run.id, url=self.run.url or "", command=command)

    def log(self, axis: str, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        for place, figures in points:
            self.run.log({axis: place, **figures})

    def end(self, state: str, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        self.run.summary.update({**figures, "state": state})
        artifact = self.wandb.Artifact(f"run-{self.run.id}", "model")
        for file in files:
            artifact.add_file(str(file), policy="mutable")
        self.run.log_artifact(artifact)
        self.run.finish(exit_code=0 if state == "finished" else 1)
