"""However an upload is made, reading it takes a bounded amount of memory."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.hostile.memory import ARCHIVES, KINDS, LIMIT
from tests.support.served import ROOT


@pytest.fixture(scope="module")
def figures():
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # a process that forks must have no threads
    command = [sys.executable, "-m", "tests.support.hostile.memory"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=True)
    return {figure["upload"]: figure for figure in map(json.loads, done.stdout.splitlines())}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_upload_takes_at_most_400_mib(kind, figures):
    assert figures[kind]["peak_mib"] <= LIMIT
    assert bool(figures[kind]["rejected"]) == (kind in ARCHIVES or kind == "PNG of 64 megapixels")
