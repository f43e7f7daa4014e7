"""The executor of a Ray cluster, which trains each run on any node that sees the store. A helper process talks to Ray."""

import os
import socket
import subprocess
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

from expertnet.errors import UserError
from expertnet.store.run import Run
from expertnet.store.status import ACTIVE_STATES
from expertnet.training.executor import Executor
from expertnet.training.process import start_process
from expertnet.utils.home import install_command
from expertnet.utils.text import plural

ADDRESS, CPUS, GPUS = "RAY_ADDRESS", "EXPERTNET_RUN_CPUS", "EXPERTNET_RUN_GPUS"
NEAREST = "127.0.0.1:6379"  # the head that `ray start --head` starts on this computer
ANSWERS_WITHIN = 3.0  # seconds
CLOSE_WITHIN = 5.0  # seconds for the helper to interrupt what trains
RETRY = 10.0  # seconds until the next helper starts
SMALLEST = 0.0001  # share of a CPU or GPU that Ray accepts


class Told(BaseModel):
    """What a helper tells its server."""

    slots: int = 1  # runs that the cluster has room for
    room: str = ""  # the same in a sentence
    gpus: int = 0  # of the node that has most
    waits: dict[str, str] = {}  # why each run waits
    problem: str = ""  # why the helper has ended, or will


class RayExecutor(Executor):
    """Has Ray train what waits in the queue of a store. The environment says on which cluster, and what a run gets of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._thread: threading.Thread | None = None
        self._helper: subprocess.Popen[bytes] | None = None
        self._told = Told()

    def status(self, run: Run) -> str:
        status, told = run.status(), self._told
        if status.training:
            return f"Trains on {status.host}: {status.device}." if status.device else f"Starts on {status.host}."
        if status.state != "queued":
            return ""
        if self.queue.paused:
            return "Waits because the queue is paused."
        later = "Waits for the runs before it." if told.waits else "About to start."
        return told.problem or told.waits.get(run.id, later)

    def restarts(self, run: Run) -> bool:
        return run.state == "interrupted" and self._helper is not None and run.id in self.queue.tasks.values()

    def ended(self, run: Run) -> str:
        if self.restarts(run):
            return "Its computer or process ended. Ray starts it again when there is room."
        return super().ended(run)

    @property
    def slots(self) -> int:
        return self._told.slots

    @property
    def gpus(self) -> int:
        return self._told.gpus

    @property
    def devices(self) -> tuple[str, ...]:
        return "auto", "cpu", "cuda"  # which of a node's GPUs, Ray decides

    @property
    def room(self) -> str:
        return self._told.problem or self._told.room or f"Connecting to the Ray cluster at {address()}."

    def wake(self) -> None:
        with self.changed:
            if self._thread is None and not self.leave.is_set() and self.queue.has_work():
                self._thread = threading.Thread(target=self._keep, name="ray", daemon=True)
                self._thread.start()

    def is_done(self, run_id: str | None = None) -> bool:
        taken = (Run(self.queue.root / run) for run in self.queue.tasks.values())
        trains = [run.id for run in taken if self._helper or run.state in ACTIVE_STATES]
        if run_id is not None:
            return run_id not in (*self.queue.ids(), *trains)
        return not self.queue.has_work() and not trains

    def close(self) -> None:
        self.leave.set()
        with self.changed:
            helper, self._helper = self._helper, None
        if helper:
            helper.terminate()
            try:
                helper.wait(CLOSE_WITHIN)
            except subprocess.TimeoutExpired:
                helper.kill()

    def _keep(self) -> None:
        """Keep a helper running while there is work."""
        while True:
            with self.changed:
                if self.leave.is_set() or not self.queue.has_work():
                    self._thread = None
                    return
                try:
                    check_ray(address())
                    needs = checked_needs(os.environ.get(CPUS, ""), os.environ.get(GPUS, ""))
                    arguments = (str(self.queue.root.resolve()), str(os.getpid()), address(), *needs)
                    self._helper = start_process("expertnet.training.ray_driver", *arguments, tells=True)
                except UserError as error:
                    self._told = Told(problem=str(error))
            self._listen()
            self.leave.wait(RETRY)

    def _listen(self) -> None:
        helper = self._helper
        if helper is None or helper.stdout is None:
            return
        with helper:
            for line in helper.stdout:
                with suppress(ValueError):  # a line that broke off
                    self._told = Told.model_validate_json(line)
        self._helper = None
        if not self._told.problem and not self.leave.is_set():
            self._told = Told(
                problem=f"The connection to the Ray cluster at {address()} was lost. The studio tries again."
            )


def uses_ray() -> bool:
    """Return whether the studio trains on a Ray cluster."""
    return os.environ.get("EXPERTNET_EXECUTOR") == "ray"


def address() -> str:
    """Return the address of the cluster."""
    return os.environ.get(ADDRESS) or NEAREST


def checked_needs(cpus: str, gpus: str) -> tuple[str, str]:
    """Return the CPUs and GPUs that each run gets: by default "1", and "" for a GPU if the cluster has any. Raises UserError."""
    for name, text in (("CPUs", cpus), ("GPUs", gpus)):
        try:
            value = float(text or 1)
        except ValueError:
            value = -1.0
        if not (value >= 1 and value.is_integer()) and not SMALLEST <= value < 1 and (name, value) != ("GPUs", 0):
            raise UserError(
                f"The {name} of each run must be a whole number, or a share of one such as 0.5, at least {SMALLEST}. "
                f"You entered “{text}”."
            )
    return cpus or "1", gpus


def amount(cpus: float, gpus: float) -> str:
    """Return CPUs and GPUs in words, without GPUs if there are none."""
    parts = [(cpus, "CPU"), *([(gpus, "GPU")] if gpus else [])]
    return " and ".join(f"{number:g} {plural(number, name)}" for number, name in parts)


def check_ray(address: str) -> None:
    """Raise UserError if Ray is not installed, or nothing answers at the address."""
    if find_spec("ray") is None:
        raise UserError(f"The Ray executor needs the package ray. Run '{install_command('ray')}', then try again.")
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise UserError(
            f"{ADDRESS} must be HOST:PORT, as 'ray start --head' prints it, such as 10.0.0.5:6379. It is “{address}”."
        )
    try:
        socket.create_connection((host, int(port)), ANSWERS_WITHIN).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"No Ray cluster answers at {address} ({reason}). Start one with 'ray start --head', or set {ADDRESS} to the address "
            "of another."
        ) from None
