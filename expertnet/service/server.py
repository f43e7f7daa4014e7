"""Run the prediction service until it is stopped."""

import os
import signal
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from expertnet.errors import UserError

GRACE = 30  # seconds for the requests inside after a signal to stop
KEY = "EXPERTNET_API_KEY"  # environment variable


def api_key() -> str:
    """Return the API key, or "" if none is set. Raises UserError if it cannot be sent in a header."""
    key = os.environ.get(KEY, "")
    if not key.isascii() or not key.isprintable() or key != key.strip():
        raise UserError(f"{KEY} must consist of printable ASCII characters, without spaces at its ends.")
    return key


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises UserError if the port or the address cannot be used."""
    try:
        opened = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise UserError(
            f"Port {port} of {host} is not available: {reason}. Choose another with --port or --host."
        ) from None
    # Or the body of an answer waits 40 ms for the client to acknowledge its head; asyncio sets this for its own sockets only
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def run_server(app: FastAPI, opened: socket.socket, started: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM, then finish those inside."""

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # uvicorn raises them again when it has stopped
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE)
    Server(config).run(sockets=[opened])
