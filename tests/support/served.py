"""The app served on a free port of loopback, and the Chromium there is; benchmarks use it too.

In this module: CHROMIUM, serving, settle.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def serving(folder, data, *options):
    """Yields the address of an app whose store is folder/runs; its output is in folder/server.log. Options are Streamlit's."""
    environment = os.environ | {"EXPERTNET_RUNS": str(folder / "runs"), "EXPERTNET_DATA": str(data)}
    with (folder / "server.log").open("w") as output:
        process, address = _started(environment, output, options)
    try:
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _started(environment, output, options):
    """A server that answers, and its address; another one should the free port have been taken before it listened."""
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            "app.py",
            f"--server.port={port}",
            "--server.headless=true",
            *options,
        ]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        if _is_healthy(process, f"http://127.0.0.1:{port}"):
            return process, f"http://127.0.0.1:{port}"
    raise AssertionError(f"The server did not start: {Path(output.name).read_text()}")


def _is_healthy(process, address):
    """Waits until the server answers; False where it has ended instead."""
    until = time.monotonic() + 600
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=10) as answer:
                return answer.read() == b"ok"
        except OSError:
            try:
                process.wait(timeout=0.1)
                return False
            except subprocess.TimeoutExpired:
                continue
    process.kill()
    return False


def settle(page):
    """Waits until the page's script has run to its end."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
