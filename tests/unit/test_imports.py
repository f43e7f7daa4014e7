"""Imports point one way: a module may import those that stand before it here, and only the pages know of Streamlit."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = [  # from the ground up; modules of one line do not import one another
    {"errors"},
    {"access", "config", "files", "processes", "progress", "pictures", "routing", "charts", "tables"},
    {
        "archives",
        "augment",
        "curves",
        "devices",
        "downloads",
        "model",
        "notes",
        "presets",
        "specialization",
        "splits",
        "tasks",
        "terminal",
    },
    {"builtin", "decoded", "estimate", "fields", "lab_charts", "optim", "run_charts", "run_queue"},
    {"layout", "records", "settings_address"},
    {"datasets"},
    {"evaluation", "own_pictures", "run_reader"},
    {"run_weights"},
    {"runs"},
    {"engine", "inference", "run_index", "scalars", "trash"},
    {"lab", "training", "whatif"},
    {"effects"},
    {"figures", "run_contents", "turns"},
    {"effect_figures", "own_process"},
    {"jobs"},
    {"picture_figures", "report", "run_exports", "run_imports", "warmup"},
    {"cli_networks"},
    {"cli"},
    {"__main__"},
    {"ui"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
PACKAGE = sorted((ROOT / "expertnet").rglob("*.py"))


def imports(path):
    """The dotted names that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(path):
    return path.relative_to(ROOT / "expertnet").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", [p for p in PACKAGE if layer(p) != "__init__"], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_stands_before_it(path):
    own = layer(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "expertnet" and len(parts) > 1 and parts[1] in LEVEL and parts[1] != own:
            assert LEVEL[parts[1]] < LEVEL[own], f"{own} imports {parts[1]}"
        assert parts[0] != "streamlit" or own == "ui", f"{own} imports streamlit"


def test_charts_know_nothing_of_torch():
    names = {
        name for module in ("charts", "curves", "run_charts") for name in imports(ROOT / "expertnet" / f"{module}.py")
    }
    allowed = {"altair", "pandas", *sys.stdlib_module_names}
    assert all(
        name.startswith(("expertnet.charts", "expertnet.curves")) or name.split(".")[0] in allowed for name in names
    )


def test_everything_but_the_pages_works_without_streamlit():
    modules = [f"expertnet.{name}" for names in LAYERS[:-2] for name in sorted(names)]
    code = f"import sys; sys.modules['streamlit'] = None; import importlib; [importlib.import_module(m) for m in {modules}]"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_whoever_the_server_answers_finds_loaded_what_pages_stand_on():
    code = """
import asyncio, sys, serve

async def served():
    async with serve.until_the_end(None):
        print(*(name for name in ("torch", "altair", "scipy", "expertnet.inference", "torch._dynamo") if name in sys.modules))

asyncio.run(served())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["torch", "altair", "scipy", "expertnet.inference"], (
        done.stderr
    )  # torch._dynamo: seconds
