"""Imports point one way: a room imports only rooms below it, and only the pages and the ui room import Streamlit."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = [  # from the ground up; rooms on one line do not import one another
    {"errors"},
    {"utils"},
    {"settings", "charts"},
    {"data"},
    {"network"},
    {"store"},
    {"training", "inference"},
    {"routing"},
    {"findings", "transfer"},
    {"ui"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(ROOMS) for name in names}
PACKAGE = sorted(path for path in (ROOT / "expertnet").rglob("*.py") if path != ROOT / "expertnet/__init__.py")
MODULES = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in PACKAGE}
TESTS, BENCHMARKS, TOOLS = (sorted((ROOT / name).rglob("*.py")) for name in ("tests", "benchmarks", "tools"))


@cache
def nodes(path):
    return tuple(ast.walk(ast.parse(path.read_text())))


def imports(path):
    """Yield the dotted names that a file imports, at its top or inside a function."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module):
    return module.split(".")[1]


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: MODULES[path])
def test_a_room_imports_only_rooms_below_it(path):
    own = room(MODULES[path])
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "expertnet" and len(parts) > 1 and parts[1] in LEVEL and parts[1] != own:
            assert LEVEL[parts[1]] < LEVEL[own], f"{own} imports {parts[1]}"
        assert parts[0] != "streamlit" or own == "ui", f"{own} imports streamlit"


def test_every_module_is_in_a_room():
    assert {room(module) for module in MODULES.values()} == set(LEVEL)


def test_no_modules_import_one_another_in_a_circle():
    known = set(MODULES.values())
    graph = {
        MODULES[path]: {name if name in known else name.rpartition(".")[0] for name in imports(path)} & known
        for path in PACKAGE
    }
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def test_charts_import_neither_torch_nor_the_package():
    allowed = {"altair", "pandas", *sys.stdlib_module_names}
    for path in (ROOT / "expertnet/charts").glob("*.py"):
        for name in imports(path):
            assert name.startswith(("expertnet.charts", "expertnet.utils.text")) or name.split(".")[0] in allowed, name


def private_names(path):
    """Yield every name with a leading underscore that a file defines, attributes of objects included."""
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            name = node.id if isinstance(node, ast.Name) else node.attr
        else:
            continue
        if re.match("_[a-zA-Z]", name):
            yield name


PRIVATE = {name for path in PACKAGE for name in private_names(path)}


def private_names_used(path):
    """Yield the private names of the package that a file imports, reads from an object or names in a string."""
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("expertnet"):
            yield from (alias.name for alias in node.names if re.match("_[a-zA-Z]", alias.name))
        elif isinstance(node, ast.Attribute) and node.attr in PRIVATE:
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # as monkeypatch.setattr takes it
            yield from PRIVATE.intersection([node.value.rpartition(".")[2]])


@pytest.mark.parametrize("path", [*TESTS, *BENCHMARKS, *TOOLS], ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_use_no_private_name_of_the_package(path):
    assert list(private_names_used(path)) == []


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: MODULES[path])
def test_a_module_uses_no_private_name_of_another(path):
    own = set(private_names(path))
    assert [name for name in private_names_used(path) if name not in own] == []


@pytest.mark.parametrize("path", [*BENCHMARKS, *TOOLS], ids=lambda path: path.stem)
def test_benchmarks_and_tools_share_only_the_helpers_of_the_tests(path):
    assert [name for name in imports(path) if name.startswith("tests.") and not name.startswith("tests.support.")] == []
    assert [name for name in imports(path) if name.startswith(("benchmarks", "tools"))] == []


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_import_neither_benchmarks_nor_tools(path):
    assert [name for name in imports(path) if name.split(".")[0] in ("benchmarks", "tools")] == []


def test_everything_but_the_pages_works_without_streamlit():
    modules = [module for module in MODULES.values() if room(module) not in ("ui", "__main__")]
    code = f"import sys; sys.modules['streamlit'] = None; import importlib; [importlib.import_module(m) for m in {modules}]"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_server_loads_what_pages_need_before_it_answers():
    code = """
import asyncio, sys
from expertnet.ui.preload import lifespan

async def served():
    async with lifespan(None):
        modules = ("torch", "altair", "scipy", "expertnet.inference.predictor", "torch._dynamo")
        print(*(name for name in modules if name in sys.modules))

asyncio.run(served())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    loaded = ["torch", "altair", "scipy", "expertnet.inference.predictor"]  # torch._dynamo would take seconds
    assert done.stdout.split() == loaded, done.stderr
