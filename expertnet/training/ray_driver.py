"""Hand the queue of a store to a Ray cluster: python -m expertnet.training.ray_driver STORE PID ADDRESS CPUS GPUS

A server starts this process, which ends with it. It is apart because Ray ends a process whose cluster is lost. Each line that it
prints is what the server tells its users (`Told`), in JSON. Ray decides when and where a run trains, and does so again if its
node dies.
"""

import hashlib
import logging
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ray

from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.status import ACTIVE_STATES
from expertnet.training.process import TICK, end_with
from expertnet.training.ray_executor import Told, amount
from expertnet.training.ray_node import Needs, needed
from expertnet.training.stop import Stop
from expertnet.utils.files import remove_leftovers
from expertnet.utils.text import counted

AHEAD = 256  # of the waiting runs, so many are with Ray; looking at thousands would take too long
DEATHS = 10  # of nodes or processes, after which a run has failed
SLOW = 8.0  # seconds of connecting, after which users are told what may be wrong
CLOSE_WITHIN = 3.0  # seconds for trainings to end
RESTARTS_WITHIN = 120.0  # seconds after its last heartbeat in which Ray has started a run again
MARKER = ".ray-"  # begins the name of a file in the store, by which a node proves that it sees the store


_server, _telling = sys.stdout, threading.Lock()


def tell(told: Told) -> None:
    with _telling, suppress(BrokenPipeError):  # the server was killed, and this process interrupts what trains
        _server.write(told.model_dump_json() + "\n")
        _server.flush()


def connect(address: str) -> str:
    """Connect to a cluster, and return what is wrong if that fails."""
    hint = f"Is this computer part of that cluster? If not, run 'ray start --address={address}' on it."
    slow = threading.Timer(
        SLOW, tell, [Told(problem=f"The Ray cluster at {address} does not let the studio in yet. {hint}")]
    )
    slow.daemon = True
    slow.start()
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, namespace="expertnet")
    except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError and others
        first = str(error).strip().partition("\n")[0]
        return f"The Ray cluster at {address} does not let the studio in ({type(error).__name__}: {first}). {hint}"
    finally:
        slow.cancel()
    return ""


def code_version() -> str:
    """Return the version of the installed ExpertNet with a digest of its code."""
    spec = find_spec("expertnet")
    if spec is None or spec.origin is None:
        return "no ExpertNet"
    import expertnet

    digest, folder = hashlib.sha256(), Path(spec.origin).parent
    for path in sorted(folder.rglob("*.py")):
        if not path.is_relative_to(folder / "studio"):  # the pages, which only installed copies have here
            digest.update(path.read_bytes())
    return f"ExpertNet {expertnet.__version__} (code {digest.hexdigest()[:8]})"


def work(root: str, marker: str, version: str, data: str, usual: Needs, needs: Needs) -> tuple[str, str] | None:
    """Train a run as a task of Ray. Returns the id of the node and what is wrong if it cannot train runs of this studio.

    Ray sends this function and code_version() to the nodes as they are here, because the module is a program's main one. So
    they import nothing of ExpertNet before the versions are compared.
    """
    context, installed = ray.get_runtime_context(), code_version()
    if installed != version:
        return context.get_node_id(), f"it has {installed}, and the studio has {version}"
    if not os.path.exists(os.path.join(root, marker)):
        return context.get_node_id(), f"it does not see the studio's folder of runs, {root}"
    if not os.access(root, os.W_OK):
        return context.get_node_id(), f"its user cannot write to the studio's folder of runs, {root}"
    if data:
        os.environ["EXPERTNET_DATA"] = data
    try:
        from expertnet.training.ray_node import train_for_task
    except ImportError as error:
        return context.get_node_id(), f"a package is missing on it ({error})"
    train_for_task(Path(root), str(context.get_task_id()), usual, needs)
    return None


class Driver:
    """Keeps as many tasks with Ray as runs wait. `usual` is what a run gets unless its settings say less."""

    def __init__(self, root: Path, usual: Needs, marker: str) -> None:
        self.root, self.queue, self.usual = root, RunQueue(root), usual
        self._arguments = (str(root), marker, code_version(), os.environ.get("EXPERTNET_DATA", ""), usual)
        self._task = ray.remote(max_retries=DEATHS)(work)
        self._tasks: dict[Any, Needs] = {}
        self._needs: dict[str, Needs] = {}
        self._refused: dict[str, str] = {}  # nodes, and why
        self._earlier = set(self.queue.tasks)  # tasks of earlier drivers
        self.drop_ended(0.0)

    def drop_ended(self, after: float = RESTARTS_WITHIN) -> None:
        """Give up the runs of other drivers that ended so many seconds ago: those of a driver that lives have begun again."""
        tasks = self.queue.tasks if self._earlier else {}  # the file is read at every tick otherwise
        self._earlier &= tasks.keys()
        for task in self._earlier:
            status = Run(self.root / tasks[task]).status()
            if status.state not in ACTIVE_STATES and time.time() - (status.heartbeat or 0.0) >= after:
                self.queue.done(tasks[task])

    def advance(self) -> Told:
        """Settle the tasks that have ended, start those that are missing, and return what there is to tell."""
        self.drop_ended()
        for task in ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)[0] if self._tasks else ():
            del self._tasks[task]
            self._settle(task)
        waiting = (
            [] if self.queue.paused else [entry.run for entry in self.queue.entries() if entry.owner is None][:AHEAD]
        )
        self._needs = {run: self._needs.get(run) or needed(Run(self.root / run), self.usual) for run in waiting}
        taken = self.queue.tasks
        idle = Counter(needs for task, needs in self._tasks.items() if task.task_id().hex() not in taken)
        for needs, count in (Counter(self._needs.values()) - idle).items():
            for _ in range(count):
                self._tasks[self._start(needs)] = needs
        return self._told()

    def close(self) -> None:
        """Interrupt the trainings."""
        for task in self._tasks:
            ray.cancel(task)
        if self._tasks:
            ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=CLOSE_WITHIN)

    def _start(self, needs: Needs) -> Any:
        elsewhere = {"ray.io/node-id": f"!in({','.join(self._refused)})"} if self._refused else None
        options = self._task.options(num_cpus=needs[0], num_gpus=needs[1], label_selector=elsewhere)
        return options.remote(*self._arguments, needs)

    def _settle(self, task: Any) -> None:
        """Note a node that cannot train, or the end of a run whose last attempt failed."""
        try:
            if refused := ray.get(task):
                self._refused[refused[0]] = refused[1]
        except ray.exceptions.RayError as error:
            print(error, file=sys.stderr)
            run_id, reason = self.queue.tasks.get(task.task_id().hex()), str(error).strip().partition("\n")[0]
            if run_id is None:  # of a task that had no run yet, which advance() replaces
                return
            run = Run(self.root / run_id)
            status = run.written_status()
            if run.path.is_dir() and status.active:
                text = f"Ray gave up the run after {DEATHS + 1} attempts ({type(error).__name__}: {reason})."
                if isinstance(error, ray.exceptions.RayTaskError):  # after which Ray does not try again
                    text = f"Training failed with an unexpected error ({type(error.cause).__name__}: {error.cause})."
                run.write_status(status.changed(state="failed", error=text, error_kind="other", activity=""))
                run.log(text)
            self.queue.done(run_id)

    def _told(self) -> Told:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        usable = [node["Resources"] for node in nodes if node["NodeID"] not in self._refused]
        refused = [
            f"Node {node['NodeManagerHostname']} cannot train: {self._refused[node['NodeID']]}."
            for node in nodes
            if node["NodeID"] in self._refused
        ]
        total, free = ray.cluster_resources(), ray.available_resources()
        busy = " and ".join(
            f"{free.get(name, 0):g} of {total[name]:g} {name}s" for name in ("CPU", "GPU") if total.get(name)
        )
        waits = {needs: " ".join([why(needs, usable, busy), *refused]) for needs in set(self._needs.values())}
        slots = sum(fits(node, self.usual) for node in usable)
        room = f"Ray has room for {counted(slots, 'run')} of {amount(*self.usual)} at once, on {counted(len(usable), 'node')}."
        return Told(
            slots=max(slots, 1),
            room=" ".join([room, *refused]),
            gpus=int(max((node.get("GPU", 0) for node in usable), default=0)),
            waits={run: waits[needs] for run, needs in self._needs.items()},
        )


def why(needs: Needs, nodes: list[dict[str, float]], free: str) -> str:
    """Say why a run with these needs waits."""
    if any(fits(node, needs) for node in nodes):
        return f"Waits for {amount(*needs)}: {free} are free."
    if not nodes:
        return "Waits for a node that can train it."
    largest = max(
        ((node.get("CPU", 0), node.get("GPU", 0)) for node in nodes), key=lambda has: (has[1] >= needs[1], *has)
    )
    return (
        f"Waits for a larger node: the run needs {amount(*needs)}, and the largest node has {amount(*largest)}. "
        "Add such a node, or start the studio with other --run-cpus and --run-gpus."
    )


def fits(node: dict[str, float], needs: Needs) -> int:
    """Return how many runs fit on an empty node."""
    has = (node.get("CPU", 0.0), node.get("GPU", 0.0))
    return min(int(have / need + 1e-6) for have, need in zip(has, needs, strict=True) if need)


def main(root: Path, pid: int, address: str, cpus: float, gpus: float | None) -> None:
    if problem := connect(address):
        tell(Told(problem=problem))
        return
    stop = Stop()
    if not end_with(pid, stop):  # after connecting, because Ray handles SIGTERM in its own way
        return
    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU") else 0.0
    remove_leftovers(root, f"{MARKER}*")
    with tempfile.NamedTemporaryFile(prefix=MARKER, dir=root) as marker:
        driver, told = Driver(root, (cpus, gpus), Path(marker.name).name), None
        while not stop.wait(TICK):
            now = driver.advance()
            if now != told:
                tell(now)
            told = now
            os.utime(marker.name)  # it is no leftover
        driver.close()
    ray.shutdown()


if __name__ == "__main__":
    _server = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where Ray prints, too
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    store, server, head, cpus_of_run, gpus_of_run = sys.argv[1:]
    if data := os.environ.get("EXPERTNET_DATA"):
        os.environ["EXPERTNET_DATA"] = str(Path(data).resolve())
    os.chdir("/")  # Ray adds the working directory to the nodes' paths of modules
    main(Path(store), int(server), head, float(cpus_of_run), float(gpus_of_run) if gpus_of_run else None)
