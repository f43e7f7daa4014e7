"""Run a Jupyter notebook whose cells print what they show."""

import json
import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any


def run(path: Path, folder: Path) -> dict[str, Any]:
    """Run the code cells in order, with `folder` as the working directory, and return the notebook with what they print."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, object] = {"__name__": "__main__"}
    before = Path.cwd()
    os.chdir(folder)
    try:
        for number, cell in enumerate(code_cells(notebook), 1):
            with redirect_stdout(StringIO()) as printed:
                exec(compile("".join(cell["source"]), f"{path.name}, code cell {number}", "exec"), names)
            lines = printed.getvalue().splitlines(keepends=True)
            cell["execution_count"] = number
            cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []
    finally:
        os.chdir(before)
    return notebook


def code_cells(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
