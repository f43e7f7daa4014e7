"""Hostile input in small numbers, each kind in a process of its own that watches every file it opens; thousands: make hostile."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CASES = {"pictures": 100, "archives": 60, "run zips": 60, "addresses": 60, "flipped bytes": 60, "cut": 12}


def test_no_kind_gets_out_or_breaks_a_page():
    words = [word for kind in CASES for word in ("--kind", kind)]
    command = [sys.executable, "-m", "benchmarks.hostile", "--cases", "60", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    rows = {row["kind"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows.keys() == CASES.keys() and all(row["cases"] > 20 and row["pages opened"] for row in rows.values())
