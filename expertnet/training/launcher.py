"""Train a run in several processes (`hardware.processes`), each on a GPU or with its share of the processor's threads.

torch.distributed.run starts and watches them in a process and session of its own, because it sets its signal handlers in a main
thread only. What becomes of the run is read from the store.
"""

import os
import time
from contextlib import suppress
from subprocess import Popen

import psutil

from expertnet.errors import RunError, UserError
from expertnet.store.run import Run
from expertnet.store.status import Status
from expertnet.training.parallel import lost_text
from expertnet.training.place import Place
from expertnet.training.process import TICK, start_process
from expertnet.training.runner import OnProgress, run_training
from expertnet.training.start import refuse_missing_gpus
from expertnet.training.stop import Stop
from expertnet.utils.devices import available_threads, resolve_device
from expertnet.utils.processes import is_alive, this_process
from expertnet.utils.text import counted

TO_END = 10  # seconds from a request to end until a process is killed


def train(run: Run, stop: Stop, *, on_progress: OnProgress = lambda status: None, place: Place) -> Status:
    """Train a run as `run_training` does without `settle`, in this process or in as many as its settings say.

    Returns when none of them is left.
    """
    if run.has_settings and run.settings().hardware.processes > 1:
        return _train_in_processes(run, stop, on_progress, place)
    return run_training(run, stop, on_progress=on_progress, place=place, settle=False)


def _train_in_processes(run: Run, stop: Stop, on_progress: OnProgress, place: Place) -> Status:
    count = run.settings().hardware.processes
    activity = f"Starting {counted(count, 'process', 'processes')}"
    run.write_status(run.written_status().changed(state="running", activity=activity, process=this_process().beating()))
    fault = ""
    try:
        resolve_device(run.settings().hardware.device)
        refuse_missing_gpus(run.settings())
        _watch(run, _start(run, count, place), stop, on_progress)
        fault = lost_text(count)  # unless the first process has said how the run ended
    except UserError as error:
        fault = str(error)
    if not run.path.is_dir():
        return Status(state="stopped")
    status = run.written_status()
    if status.training or (status.state == "interrupted" and not stop.interrupted):
        status = _ended(run, status, stop, fault)
    return status


def _start(run: Run, count: int, place: Place) -> Popen[bytes]:
    return start_process(
        "torch.distributed.run",
        *(
            "--standalone",
            "--local-addr",
            "127.0.0.1",
            "--nproc-per-node",
            str(count),
            "--shutdown-timeout",
            str(TO_END),
        ),
        *("-m", "expertnet.training.rank", str(run.path.resolve())),
        *map(str, (os.getpid(), place.number, place.count, place.cpus or 0)),
        log=run.path / "log.txt",
        # all threads, which the processes divide; and no modules from the working directory
        environment={"OMP_NUM_THREADS": str(available_threads()), "PYTHONSAFEPATH": "1"},
    )


def _watch(run: Run, process: Popen[bytes], stop: Stop, on_progress: OnProgress) -> None:
    """Wait until all processes have ended, and pass a stop on to them."""
    asked = terminated = False
    try:
        while process.poll() is None or _leads(run):
            time.sleep(TICK)
            if stop.interrupted and not terminated:
                with suppress(
                    psutil.NoSuchProcess
                ):  # the first process tells the others, and the launcher ends after them
                    (psutil.Process(run.written_status().pid) if _leads(run) else process).terminate()
                terminated = True
            elif stop.is_set() and not asked:
                with suppress(RunError):  # it may just have ended
                    run.ask_to_stop()
                asked = True
            on_progress(run.status())
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _leads(run: Run) -> bool:
    """Return whether the first process of a run is alive. It ends soon after the launcher."""
    status = run.written_status()
    return status.training and status.pid != os.getpid() and is_alive(status)


def _ended(run: Run, status: Status, stop: Stop, fault: str) -> Status:
    """Write how a run ended whose first process could not do so."""
    state = stop.state if stop.is_set() else "stopped" if run.stop_asked() else "failed"
    error = {"error": fault, "error_kind": "other"} if state == "failed" else {}
    status = status.changed(
        state=state, activity="", activity_share=None, seconds_left=None, process=this_process().beating(), **error
    )
    run.write_status(status)
    run.log(f"Failed: {fault}" if error else f"{state.capitalize()}. The last completed epoch is kept.")
    return status
