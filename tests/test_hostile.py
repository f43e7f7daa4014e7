"""Hostile input in small numbers, in a process that watches every file it opens; thousands of cases: make hostile."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.hostile import KINDS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("kinds", "cases"), [(["images", "archives", "addresses"], 60), (["run zips", "flipped bytes", "cut"], 40)]
)
def test_nothing_gets_out_or_breaks_a_page(kinds, cases):
    assert set(kinds) <= {*KINDS, "cut"}
    words = [word for kind in kinds for word in ("--kind", kind)]
    command = [sys.executable, "-m", "benchmarks.hostile", "--cases", str(cases), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    rows = {row["kind"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert list(rows) == kinds and all(row["cases"] >= cases for row in rows.values())
