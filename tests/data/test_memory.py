"""However an upload is made, reading it takes a bounded amount of memory, and the training beside it goes on."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.hostile.memory import ARCHIVES, KINDS, LIMIT, RUNS
from tests.support.served import ROOT

ACCEPTED = {"zip of eight images of 50 megapixels and 40 MiB", "run with a history of 32 MiB"}
REJECTED = {"PNG of 64 megapixels", "TIFF in one strip", "progressive JPEG"} | (
    ARCHIVES.keys() | RUNS.keys()
) - ACCEPTED


@pytest.fixture(scope="module")
def figures():
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # a process that forks must have no threads
    command = [sys.executable, "-m", "tests.support.hostile.memory"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=True)
    return {figure["upload"]: figure for figure in map(json.loads, done.stdout.splitlines())}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_upload_takes_at_most_400_mib(kind, figures):
    figure = figures[kind]
    assert figure["peak_mib"] <= LIMIT and figure["trainings"] and figure["same"], figure
    assert figure["rejected"].endswith("." if kind in REJECTED else "") and bool(figure["rejected"]) == (
        kind in REJECTED
    )
