"""Evaluating many images takes no more memory than evaluating some."""

import subprocess
import sys

import pytest

from expertnet.utils.memory import GLIBC
from tests.support.served import ROOT

# Prints by how many MiB the memory of the process grows from the tenth batch of the test to the last one
PROGRAM = """
from pathlib import Path
import torch
from expertnet.data.datasets import Dataset
from expertnet.data.info import DatasetInfo
from expertnet.data.splits import Split
from expertnet.training.trainer import Trainer
from tests.support.small import settings

def zeros(count):
    return Split(torch.zeros(count, 3, 32, 32, dtype=torch.uint8), torch.arange(count) % 10)

def memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))

info = DatasetInfo("zeros", tuple("abcdefghij"), (0.5,) * 3, (0.25,) * 3, 32, "")
chosen = settings(**{"data.image_size": 32, "data.flip": "on", "data.six_views": True})
trainer = Trainer(chosen, Dataset(info, zeros(64), zeros(64), zeros(12_000)), threads=1)
used = [memory() for progress in trainer.run() if progress.kind == "evaluation" and progress.epoch == trainer.epoch]
print(used[-1] - used[10])
"""


@pytest.mark.long
@pytest.mark.skipif(not GLIBC, reason="Only glibc is told to keep freed memory")
def test_the_memory_of_an_evaluation_does_not_grow_with_the_number_of_images():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 60, done.stdout
