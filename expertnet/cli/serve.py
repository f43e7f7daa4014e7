"""`expertnet serve`: the studio in the browser."""

import os
import runpy
import signal
import socket
import sys
import tomllib
from typing import Annotated

import typer

from expertnet.cli.options import RunsDir, open_store
from expertnet.errors import UserError
from expertnet.store.queue import MOST_AT_ONCE, RunQueue
from expertnet.utils.home import HOME


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
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))  # which the server raises again once it has shut down
    sys.argv = ["streamlit", "run", str(HOME / "app.py"), f"--server.port={port}"]
    if allowed_host:
        config = tomllib.loads((HOME / ".streamlit" / "config.toml").read_text())
        sys.argv += [f"--server.allowedHosts={host}" for host in (*config["server"]["allowedHosts"], *allowed_host)]
    runpy.run_module("streamlit", run_name="__main__")


def refuse_port_in_use(port: int) -> None:
    """Raise UserError if the server could not listen on the port."""
    address = os.environ.get("STREAMLIT_SERVER_ADDRESS") or "127.0.0.1"
    try:
        socket.create_server((address, port)).close()
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise UserError(f"Port {port} is not available: {reason}. Choose another port with --port.") from None
