"""A run in MLflow: on the server in MLFLOW_TRACKING_URI, or else in mlflow.db in the folder of the runs.

MLFLOW_EXPERIMENT_NAME names the experiment. Every other environment variable of MLflow works, too.
"""

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from expertnet.settings.fields import flat
from expertnet.settings.schema import format_value
from expertnet.store.run import Run
from expertnet.training.trackers.record import Tracked, without_password
from expertnet.utils.files import file_lock

EXPERIMENT, TAG = "ExpertNet", "expertnet.run"
DEFAULTS = {  # so that an absent server is noticed soon, and nothing is sent that nobody asked for
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
STATES = {"finished": "FINISHED", "failed": "FAILED"}
BATCH = 50  # points; MLflow takes at most 1000 figures at once


class MLflowTracker:
    """Creates a run in MLflow and sends to it."""

    def begin(self, run: Run, tracked: Tracked) -> Tracked:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{run.path.parent / 'mlflow.db'}"
        self.client: Any = MlflowClient(place)
        with file_lock(run.path.parent / "mlflow.lock"):  # two trainings that begin at once
            experiment = self._experiment(run)
            self.id = tracked.id or self._opened(run, experiment)
        self.client.update_run(self.id, "RUNNING")
        place = without_password(place)
        url = f"{place.rstrip('/')}/#/experiments/{experiment}/runs/{self.id}" if place.startswith("http") else ""
        command = "" if url else f"mlflow ui --backend-store-uri {shlex.quote(place)}"
        return replace(tracked, id=self.id, url=url, command=command)

    def _experiment(self, run: Run) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        own = not os.environ.get("MLFLOW_TRACKING_URI")
        return str(self.client.create_experiment(name, (run.path.parent / "mlflow").as_uri() if own else None))

    def _opened(self, run: Run, experiment: str) -> str:
        """Return the run's id with its settings in place. One that an earlier attempt has created is found by its tag."""
        from mlflow.entities import Param

        found = self.client.search_runs([experiment], f"tags.`{TAG}` = '{run.id}'", max_results=1)
        there = found[0] if found else self._created(run, experiment)
        settings = {key: format_value(value) for key, value in flat(run.settings()).items()}
        missing = settings.keys() - there.data.params.keys()  # MLflow refuses to change one that is there
        self.client.log_batch(there.info.run_id, params=[Param(key, settings[key]) for key in sorted(missing)])
        return str(there.info.run_id)

    def _created(self, run: Run, experiment: str) -> Any:
        facts = {TAG: run.id, "expertnet.preset": run.preset, "expertnet.dataset": run.dataset}
        info = run.dataset_info()
        facts |= {"expertnet.images": info.fingerprint} if info else {}
        return self.client.create_run(experiment, run_name=run.title, tags=facts)

    def log(self, axis: str, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        for start in range(0, len(points), BATCH):
            here = points[start : start + BATCH]
            metrics = [Metric(name, value, now, place) for place, each in here for name, value in each.items()]
            self.client.log_batch(self.id, metrics=metrics)

    def end(self, state: str, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        self.log("", [(0, figures)])
        for file in files:
            self.client.log_artifact(self.id, str(file))
        self.client.set_terminated(self.id, STATES.get(state, "KILLED"))
