"""However an upload is made, reading it takes a bounded amount of memory, and the training beside it goes on."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.hostile.memory import is_harmless
from tests.support.served import ROOT

# One of each sort; the program reads all
ACCEPTED = (
    "JPEG that is turned",
    "WebP of 16 megapixels",
    "folder of twelve files of 40 MiB",
    "dataset: zip of eight images of 50 megapixels and 40 MiB",
)
REJECTED = (
    "TIFF in one strip",
    "tar.xz with a dictionary of 512 MiB",
    "run with a line of 32 MiB in its history",
    "run with 900,000 tensors",
    "dataset: tar.gz of 20,000 paths of 1,000 emoji",
)
KINDS = (*ACCEPTED, *REJECTED)


@pytest.fixture(scope="module")
def figures():
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # a process that forks must have no threads
    command = [sys.executable, "-m", "tests.support.hostile.memory", *KINDS]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    return {figure["upload"]: figure for figure in map(json.loads, done.stdout.splitlines())}


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_an_upload_takes_at_most_400_mib(kind, figures):
    figure = figures[kind]
    assert is_harmless(figure), figure
    assert figure["rejected"].endswith("." if kind in REJECTED else "") and bool(figure["rejected"]) == (
        kind in REJECTED
    )
