"""`expertnet serve`: the studio in the browser."""

import os
import runpy
import signal
import socket
import sys
import tomllib
from enum import StrEnum
from typing import Annotated

import typer

from expertnet.cli.options import RunsDir, open_store
from expertnet.errors import UserError
from expertnet.store.queue import MOST_AT_ONCE, RunQueue
from expertnet.utils.home import HOME


class Engine(StrEnum):
    """What trains the runs."""

    LOCAL = "local"
    RAY = "ray"


def port_number(text: str | int) -> int:
    """Return a port as a number. Raises UserError."""
    if not str(text).isdecimal() or not 1 <= int(text) <= 65535:
        raise UserError("Choose a port from 1 to 65535.")
    return int(text)


def serve(
    port: Annotated[int, typer.Option(parser=port_number, metavar="PORT", help="The port to listen on.")] = 8501,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="A host name of this server besides localhost, such as studio.example.org. May be repeated."),
    ] = None,
    trainings: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_AT_ONCE, help="How many runs may train at once. The store remembers it; at first 1."
        ),
    ] = None,
    executor: Annotated[
        Engine,
        typer.Option(envvar="EXPERTNET_EXECUTOR", help="Train on this computer, or on the Ray cluster at RAY_ADDRESS."),
    ] = Engine.LOCAL,
    run_cpus: Annotated[
        str,
        typer.Option(
            envvar="EXPERTNET_RUN_CPUS",
            metavar="N",
            help="CPUs of the cluster for each run, such as 4 or 0.5 (default: 1).",
        ),
    ] = "",
    run_gpus: Annotated[
        str,
        typer.Option(
            envvar="EXPERTNET_RUN_GPUS",
            metavar="N",
            help="GPUs for each run, such as 0.5 (default: 1, if the cluster has any).",
        ),
    ] = "",
    runs_dir: RunsDir = None,
) -> None:
    """Start the studio. Ctrl-C ends it and keeps the completed epochs of the run in training."""
    store = open_store(runs_dir, creates=True)
    store.root.mkdir(parents=True, exist_ok=True)  # or fail now, instead of at the first training
    if runs_dir is not None:
        os.environ["EXPERTNET_RUNS"] = str(store.root.resolve())
    refuse_port_in_use(port)
    if trainings is not None:
        RunQueue(store.root).set_limit(trainings)
    if executor is Engine.RAY:
        prepare_ray(run_cpus, run_gpus)
    os.environ["EXPERTNET_EXECUTOR"] = executor.value
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))  # which the server raises again once it has shut down
    sys.argv = ["streamlit", "run", str(HOME / "app.py"), f"--server.port={port}"]
    if allowed_host:
        config = tomllib.loads((HOME / ".streamlit" / "config.toml").read_text())
        sys.argv += [f"--server.allowedHosts={host}" for host in (*config["server"]["allowedHosts"], *allowed_host)]
    runpy.run_module("streamlit", run_name="__main__")


def prepare_ray(cpus: str, gpus: str) -> None:
    """Set what each run gets of the Ray cluster. Raises UserError if there is none, or Ray is not installed."""
    from expertnet.training.ray_executor import CPUS, GPUS, address, check_ray, checked_needs

    needs = checked_needs(cpus, gpus)
    check_ray(address())
    os.environ.update(zip((CPUS, GPUS), needs, strict=True))


def refuse_port_in_use(port: int) -> None:
    """Raise UserError if the server could not listen on the port."""
    address = os.environ.get("STREAMLIT_SERVER_ADDRESS") or "127.0.0.1"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.create_server((address, port), family=family).close()
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise UserError(f"Port {port} is not available: {reason}. Choose another port with --port.") from None
