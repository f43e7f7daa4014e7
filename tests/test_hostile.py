"""A small sample of hostile input, checked in a process that audits every file it opens. `make hostile` checks thousands."""

import json
import subprocess
import sys

import pytest

from tests.support.served import ROOT

CHECK = """
import json, sys
from tests.support.hostile.kinds import check_kinds
for row in check_kinds(sys.argv[2:], int(sys.argv[1])):
    print(json.dumps(row), flush=True)
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("kinds", "cases"),
    [
        (["images", "archives", "own archives", "own pieces", "addresses"], 40),
        (["own images", "run zips", "flipped bytes", "cut"], 30),
    ],
)
def test_hostile_input_neither_escapes_nor_breaks_a_page(kinds: list[str], cases: int) -> None:
    command = [sys.executable, "-c", CHECK, str(cases), *kinds]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    rows = {row["kind"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert list(rows) == kinds
    assert all(row["cases"] >= cases for row in rows.values())


@pytest.mark.long
@pytest.mark.parametrize("limit", ["MOST_SECONDS", "MOST_MIB"])
def test_a_case_that_takes_too_much_time_or_memory_fails(limit: str) -> None:
    code = f"from tests.support.hostile import kinds; kinds.{limit} = -1; list(kinds.check_kinds(['images'], 1))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode and "of images took" in done.stderr
