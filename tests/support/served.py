"""The app served on a free port of the loopback interface, and pages of it in Chromium. Benchmarks and tools use it too."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import psutil

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
SCRIPT_ENDED = "[data-testid=stApp][data-test-script-state=notRunning]"
START_LIMIT = 600  # seconds
PATIENCE = 120_000  # milliseconds that a busy machine may take for what takes a second or two


@contextmanager
def serving(folder: Path, data: Path, *options: str, port: int = 0) -> Iterator[str]:
    """Yield the URL of an app whose store is folder/runs and whose output goes to folder/server.log.

    `options` are Streamlit's command-line options. `port` 0 means a free one.
    """

    def command(port: int) -> list[str]:
        streamlit = [sys.executable, "-m", "streamlit", "run", "app.py"]
        return [*streamlit, f"--server.port={port}", "--server.headless=true", *options]

    environment = {"EXPERTNET_RUNS": str(folder / "runs"), "EXPERTNET_DATA": str(data)}
    with running_server(command, folder / "server.log", environment=environment, port=port) as url:
        yield url


@contextmanager
def running_server(
    command: Callable[[int], list[str]],
    log: Path,
    *,
    cwd: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    health: str = "/_stcore/health",
    port: int = 0,
) -> Iterator[str]:
    """Yield the URL of a server once it answers, and end it afterwards.

    `command` returns the command line for a port, and `environment` is added to this process's variables.
    """
    with log.open("w") as output:
        process, url = _start(command, output, cwd, os.environ | (environment or {}), health, port)
    try:
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(
    command: Callable[[int], list[str]],
    output: TextIO,
    cwd: Path,
    environment: Mapping[str, str],
    health: str,
    wanted: int,
) -> tuple[subprocess.Popen[bytes], str]:
    """Return a server that answers, and its URL. Tries again if another process takes the free port first."""
    for _ in range(5):
        port = wanted or free_port()
        process = subprocess.Popen(command(port), cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT)
        url = f"http://127.0.0.1:{port}"
        if answers(process, url + health):
            return process, url
    raise AssertionError(f"The server did not start: {Path(output.name).read_text()}")


def newest_child() -> psutil.Process:
    """Return the process that this one started last, such as a server."""
    return max(psutil.Process().children(), key=lambda child: child.create_time())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(process: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until a server answers at a URL. Returns False if its process ends first."""
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=10).close()
            return True
        except OSError:
            try:
                process.wait(timeout=0.1)
                return False
            except subprocess.TimeoutExpired:
                continue
    process.kill()
    process.wait()
    return False


def settle(sign: "Locator") -> None:
    """Wait until the page shows `sign`, and the script run that drew it has ended.

    `sign` must be something that only the new view has. The state of the script says nothing by itself: it changes when
    the server answers a click, not when the click is made.
    """
    sign.first.wait_for()
    sign.page.locator(SCRIPT_ENDED).wait_for()


def press_until(press: Callable[[], None], arrived: Callable[..., object]) -> None:
    """Press until `arrived`, one of Playwright's waits, succeeds: a press on a chart or a table is lost while it is redrawn."""
    from playwright.sync_api import TimeoutError

    for _ in range(6):
        press()
        with suppress(TimeoutError):
            arrived(timeout=PATIENCE / 6)
            return
    raise AssertionError("No press arrived.")


def open_page(page: "Page", url: str) -> None:
    """Open a URL of the app and wait until its script has ended."""
    page.goto(url)
    settle(page.get_by_role("heading", level=2))
