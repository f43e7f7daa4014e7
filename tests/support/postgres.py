"""A PostgreSQL server on this computer alone, for a test."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

PASSWORD = "s3cret%2F"  # as it is written in a URL
SYSTEM_USER = "postgres" if hasattr(os, "geteuid") and os.geteuid() == 0 else None  # the server refuses to run as root


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgres() -> Iterator[str]:
    """Yield the URL of an empty database, which needs a password. Skips the test without PostgreSQL or psycopg."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb", path=os.pathsep.join(map(str, programs[-1:])) or None)
    if found is None or find_spec("psycopg") is None:
        pytest.skip("needs PostgreSQL and the package psycopg")
    folder, port = Path(tempfile.mkdtemp()), free_port()
    secret, data = folder / "password", folder / "data"
    secret.write_text(PASSWORD.replace("%2F", "/"))
    if SYSTEM_USER:
        for path in (folder, secret):
            shutil.chown(path, SYSTEM_USER)

    def run(program: str, *words: str) -> None:
        command = [str(Path(found).with_name(program)), "-D", str(data), *words]
        subprocess.run(command, user=SYSTEM_USER, cwd=folder, stdout=subprocess.DEVNULL, check=True)

    options = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories= -p {port}"
    try:
        run("initdb", "-U", "expertnet", "-A", "scram-sha-256", f"--pwfile={secret}")
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        yield f"postgresql+psycopg://expertnet:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        if (data / "postmaster.pid").exists():
            run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)
