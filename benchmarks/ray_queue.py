"""How fast a studio's queue trains short runs on a Ray cluster, against bare Ray tasks that train the same runs.

    python -m benchmarks.ray_queue [--runs 200] [--cpus 2] [--times 1]

The cluster has one node, on this computer. Each run is a training of a fraction of a second on the digits, on one CPU. Both begin with
processes that have trained before, and both count from the first run to the end of the last.
"""

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path

from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.manager import Manager
from expertnet.training.ray_executor import RayExecutor
from tests.support.served import ROOT
from tests.support.small import settings


def bare(folder: str) -> None:
    """Train a run. Ray sends this to the node."""
    from expertnet.training.place import Place
    from expertnet.training.runner import run_training
    from expertnet.training.stop import Stop

    run_training(Run(Path(folder)), Stop(), place=Place(cpus=1))


def seconds_of_tasks(store: RunStore, count: int) -> float:
    """Train new runs as bare tasks."""
    import ray

    task, runs = ray.remote(bare), [store.create(settings(seed=number)) for number in range(count)]
    began = time.perf_counter()
    ray.get([task.remote(str(run.path)) for run in runs])
    seconds = time.perf_counter() - began
    assert all(run.state == "finished" for run in runs)
    return seconds


def seconds_of_queue(manager: Manager, count: int) -> float:
    """Train new runs through the queue."""
    manager.pause(True)
    runs = [manager.submit(settings(seed=number)) for number in range(count)]
    began = time.perf_counter()
    manager.pause(False)
    manager.join()
    seconds = time.perf_counter() - began
    assert all(run.state == "finished" for run in runs)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="number of runs (default: %(default)s)")
    parser.add_argument("--cpus", type=int, default=2, help="CPUs of the cluster (default: %(default)s)")
    parser.add_argument("--times", type=int, default=1, help="how often (default: %(default)s)")
    options = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": options.cpus, "include_dashboard": False, "env_vars": {"PYTHONPATH": str(ROOT)}}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    os.environ["RAY_ADDRESS"] = cluster.address
    ray.init(cluster.address, logging_level=logging.ERROR, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        tasks, store = RunStore(Path(folder) / "tasks"), RunStore(Path(folder) / "queue")
        manager = Manager(store, RayExecutor(store.root))
        warm = 2 * options.cpus
        seconds_of_tasks(tasks, warm)
        seconds_of_queue(manager, warm)
        print("| runs | CPUs | bare tasks, s | queue, s | speed relative to bare tasks |\n|---|---|---|---|---|")
        for _ in range(options.times):
            alone, queued = seconds_of_tasks(tasks, options.runs), seconds_of_queue(manager, options.runs)
            print(
                f"| {options.runs} | {options.cpus} | {alone:.1f} | {queued:.1f} | {alone / queued:.1%} |", flush=True
            )
        manager.close()
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
