"""The notebooks of the documentation run, and show what they print."""

import json
from pathlib import Path

import pytest

from tests.support.notebook import code_cells, run

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs").glob("*.ipynb"))


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_the_same_cells_print(path, tmp_path):
    shown = [cell["outputs"] for cell in code_cells(json.loads(path.read_text()))]
    printed = [cell["outputs"] for cell in code_cells(run(path, tmp_path))]
    assert any(shown) and [len(each) for each in printed] == [len(each) for each in shown]
