"""How long a module may be without saying why."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATHS = [
    ROOT / "app.py",
    *(path for name in ("expertnet", "pages", "tests", "benchmarks", "tools") for path in (ROOT / name).rglob("*.py")),
]


def test_a_module_of_more_than_250_lines_says_why_it_is_long():
    def says_why(source):
        return re.search(r"\blong\b[^.]*\bbecause\b", ast.get_docstring(ast.parse(source)) or "", re.IGNORECASE)

    sources = {str(path.relative_to(ROOT)): path.read_text() for path in PATHS}
    assert len(sources) > 600
    assert [name for name, source in sources.items() if source.count("\n") > 250 and not says_why(source)] == []
