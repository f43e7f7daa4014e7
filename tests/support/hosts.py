"""Processes that have another host name than this one, where the system lets them."""

import os
import subprocess
import sys
from functools import cache

import pytest

from tests.support.served import ROOT

RENAME = "import os, socket, sys; socket.sethostname('another-host'); os.execv(sys.executable, sys.argv[1:])"


@cache
def other_host() -> list[str]:
    """Return the start of a command that runs Python on another host, as it were. Skips the test if that is not possible."""
    unshare = ["unshare", "--uts"] if os.geteuid() == 0 else ["unshare", "--uts", "--map-root-user"]
    command = [*unshare, sys.executable, "-c", RENAME, sys.executable]
    try:
        done = subprocess.run([*command, "-c", ""], capture_output=True, check=False)
    except OSError:
        pytest.skip("the program `unshare` is missing")
    if done.returncode:
        pytest.skip("this user may not change the host name of a process")
    return command


def on_another_host(code: str, *arguments: object) -> list[str]:
    """Run code on another host, and return the words that it prints."""
    command = [*other_host(), "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
