"""Kills trainings on a Ray cluster of this computer, and checks that Ray starts them again and they end with the same bits."""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.manager import Manager
from expertnet.training.ray_executor import CPUS, RayExecutor
from tests.support.served import ROOT
from tests.support.small import LIMIT, figures, settings, until

NODE: dict[str, Any] = {  # with the code of this checkout
    "num_cpus": 1,
    "num_gpus": 0,
    "include_log_monitor": False,
    "env_vars": {"PYTHONPATH": str(ROOT)},
}
HEAD = NODE | {"include_dashboard": False}
SETTINGS = settings(**{"training.epochs": 20})


def kills_on_ray(folder: Path, count: int, seed: int) -> list[str]:
    """Kill the process (SIGKILL) of each of `count` trainings at a random instant, and return the problem found after each."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", CPUS: "1"}
    from ray.cluster_utils import Cluster

    cluster, rng, problems = Cluster(initialize_head=True, head_node_args=HEAD), random.Random(seed), []
    os.environ["RAY_ADDRESS"] = cluster.address
    store = RunStore(folder / "ray")
    manager = Manager(store, RayExecutor(store.root))
    try:
        for _ in range(2):  # the first loads torch
            undisturbed = manager.submit(SETTINGS)
            assert manager.join(undisturbed.id, LIMIT) and undisturbed.state == "finished", undisturbed.log_tail()
        for _ in range(count):
            run = manager.submit(SETTINGS)
            until(lambda run=run: run.status().training and run.status().device)  # type: ignore[misc]
            time.sleep(rng.uniform(0, undisturbed.status().seconds or 0))
            with suppress(ProcessLookupError):
                os.kill(run.status().pid or 0, signal.SIGKILL)
            manager.join(run.id, LIMIT)
            problems.append("" if _bits(run) == _bits(undisturbed) else f"{run.state}: {run.log_tail()}")
    finally:
        manager.close()
        cluster.shutdown()
    return problems


def _bits(run: Run) -> tuple[object, ...]:
    weights = [run.checkpoints.path(kind).read_bytes() for kind in run.checkpoints.present()]
    return run.state, figures(run), weights, run.status().test_loss
