"""Who may import what: rooms import only rooms below them, and nobody uses a private name of somebody else.

The module is long because all rules share what was read of the files.
"""

import ast
import gc
import re
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = [  # from the bottom up; rooms on one line do not import one another
    {"errors"},
    {"utils"},
    {"settings", "charts"},
    {"data"},
    {"network"},
    {"store"},
    {"training", "inference"},
    {"routing"},
    {"evaluation"},
    {"findings", "transfer", "curation"},
    {"sweeps", "service"},
    {"ui", "cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(ROOMS) for name in names}
PACKAGE = sorted(path for path in (ROOT / "expertnet").rglob("*.py") if path != ROOT / "expertnet/__init__.py")
MODULES = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in PACKAGE}
TESTS, BENCHMARKS, TOOLS = (sorted((ROOT / name).rglob("*.py")) for name in ("tests", "benchmarks", "tools"))


@pytest.fixture(scope="module", autouse=True)
def sources():
    """Leave the nodes, of which there are half a million, to no collection of garbage, neither of these tests nor of later ones."""
    gc.disable()
    yield
    nodes.cache_clear()
    gc.enable()


@cache
def nodes(path):
    """Return the syntax nodes of a file."""
    return tuple(ast.walk(ast.parse(path.read_text())))


def statements(path):
    """Return the statements of a file, without those inside functions and conditions."""
    return ast.parse(path.read_text()).body


def imports(path, among=nodes):
    """Yield the dotted names that a file imports, at its top or inside a function. `among` chooses the nodes."""
    for node in among(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def found_in(paths, find):
    """Return what `find` finds in each file, without the files in which it finds nothing."""
    return {str(path.relative_to(ROOT)): found for path in paths if (found := sorted(set(find(path))))}


def room(module):
    return module.split(".")[1]


# --- rooms -----------------------------------------------------------------------------------------------------------


def test_every_module_is_in_a_room():
    assert {room(module) for module in MODULES.values()} == set(LEVEL)


def test_a_room_imports_only_rooms_below_it():
    def wrong(path):
        own = room(MODULES[path])
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "expertnet" and len(parts) > 1 and parts[1] in LEVEL and parts[1] != own:
                if LEVEL[parts[1]] >= LEVEL[own]:
                    yield name
            elif parts[0] == "streamlit" and own != "ui":
                yield name

    assert found_in(PACKAGE, wrong) == {}


def test_the_diagram_of_the_rooms_shows_every_import_and_no_others():
    diagram = (ROOT / "docs/architecture.md").read_text().split("flowchart TD\n")[1].split("```")[0]
    lines = [re.sub(r"\[.*?\]", "", line).split("-->") for line in diagram.splitlines()]
    arrows = {lower.strip(): set() for _, lowers in lines for lower in lowers.split("&")}
    arrows |= {upper.strip(): {lower.strip() for lower in lowers.split("&")} for upper, lowers in lines}
    reached = {}
    for name in TopologicalSorter(arrows).static_order():
        reached[name] = arrows[name].union(*(reached[lower] for lower in arrows[name]))
    imported = {name: set() for name in arrows}
    for path in [*PACKAGE, ROOT / "app.py", *(ROOT / "pages").glob("*.py")]:
        own = room(MODULES[path]) if path in MODULES else "studio"
        names = {name.split(".")[1] for name in imports(path) if name.startswith("expertnet.")}
        if own != "__main__":
            imported[own] |= names & LEVEL.keys() - {own}
    assert {name: arrows[name] - imported[name] for name in arrows if arrows[name] - imported[name]} == {}
    assert {name: imported[name] - reached[name] for name in arrows if imported[name] - reached[name]} == {}


def test_the_rooms_of_the_pages_do_not_import_one_another():
    pages = {"train", "data", "sweep", "runs", "evaluate", "experts", "predict"}

    def wrong(path):
        own = MODULES[path].split(".")[2]
        for name in imports(path):
            parts = name.split(".")
            if parts[:2] == ["expertnet", "ui"] and parts[2] in pages - {own}:
                yield name

    in_pages = [path for path in PACKAGE if path.parent.parent.name == "ui" and path.parent.name in pages]
    assert in_pages and found_in(in_pages, wrong) == {}


def test_no_modules_import_one_another_in_a_circle():
    known = set(MODULES.values())
    graph = {
        MODULES[path]: {name if name in known else name.rpartition(".")[0] for name in imports(path)} & known
        for path in PACKAGE
    }
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def test_charts_import_neither_torch_nor_the_package():
    allowed = {"altair", "pandas", *sys.stdlib_module_names}

    def wrong(path):
        for name in imports(path):
            if not name.startswith(("expertnet.charts", "expertnet.utils.text")) and name.split(".")[0] not in allowed:
                yield name

    assert found_in((ROOT / "expertnet/charts").glob("*.py"), wrong) == {}


def test_every_lock_is_made_for_all_users():
    def wrong(path):
        return (name for name in imports(path) if name in ("filelock", "filelock.FileLock"))

    assert list(found_in(PACKAGE, wrong)) == ["expertnet/utils/files.py"]  # by file_lock


@pytest.mark.long
def test_everything_but_the_pages_works_without_streamlit():
    modules = [module for module in MODULES.values() if room(module) not in ("ui", "__main__")]
    modules.append("benchmarks.gpu.__main__")  # for machines with a GPU and little else
    code = f"import sys; sys.modules['streamlit'] = None; import importlib; [importlib.import_module(m) for m in {modules}]"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_server_loads_what_pages_need_before_it_answers():
    code = """
import asyncio, sys
from expertnet.ui.preload import lifespan

async def served():
    async with lifespan(None):
        modules = ("torch", "altair", "scipy", "expertnet.inference.predictor", "torch._dynamo", "ray")
        print(*(name for name in modules if name in sys.modules))

asyncio.run(served())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    loaded = ["torch", "altair", "scipy", "expertnet.inference.predictor"]  # the others would take seconds
    assert done.stdout.split() == loaded, done.stderr


# --- packages --------------------------------------------------------------------------------------------------------


def names_of(requirements):
    """Return the names of packages as pip compares them, without what follows them."""
    return {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in requirements}


def test_every_package_that_is_imported_is_installed_with_the_studio_or_by_an_extra():
    required = names_of((ROOT / "requirements.txt").read_text().splitlines())
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    optional = names_of(line for extra, lines in extras.items() if extra != "dev" for line in lines)
    installed = packages_distributions()
    of_an_extra = {ROOT / "expertnet/training/ray_driver.py", *(ROOT / "expertnet/service").glob("*.py")}

    def wrong(path):
        at_once = set(imports(path, statements))
        for name in imports(path):
            module = name.partition(".")[0]
            if module != "expertnet" and module not in sys.stdlib_module_names:
                guarded = path in of_an_extra or name not in at_once
                if not names_of([module, *installed.get(module, [])]) & (required | optional if guarded else required):
                    yield module

    assert found_in([*PACKAGE, *(ROOT / "pages").glob("*.py"), ROOT / "app.py"], wrong) == {}


# --- tests, benchmarks and tools -------------------------------------------------------------------------------------


def test_tests_import_no_tools_and_only_those_of_benchmarks_import_benchmarks():
    def wrong(path):
        other = r"tools\b" if path.parent.name == "benchmarks" else r"(benchmarks|tools)\b"
        return (name for name in imports(path) if re.match(other, name))

    assert found_in(TESTS, wrong) == {}


def test_benchmarks_and_tools_share_only_the_helpers_of_the_tests():
    def wrong(path):
        own = path.relative_to(ROOT).parts[0] + "."
        other = re.compile(r"(benchmarks|tools|tests(?!\.support\.))\b")
        return (name for name in imports(path) if other.match(name) and not name.startswith(own))

    assert found_in([*BENCHMARKS, *TOOLS], wrong) == {}


# --- private names ---------------------------------------------------------------------------------------------------


@cache
def private_names(path):
    """Return every name with a leading underscore that a file defines, attributes of objects included."""
    names = set()
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return {name for name in names if re.match("_[a-zA-Z]", name)}


@cache
def private_names_of_the_package():
    return frozenset().union(*map(private_names, PACKAGE))


def private_names_used(path):
    """Yield the package's private names that a file imports, reads from an object or, for monkeypatch, names in a string."""
    private = private_names_of_the_package()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("expertnet"):
            yield from (alias.name for alias in node.names if re.match("_[a-zA-Z]", alias.name))
        elif isinstance(node, ast.Attribute) and node.attr in private:
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from private.intersection([node.value.rpartition(".")[2]])


def test_tests_use_no_private_name_of_the_package():
    assert found_in([*TESTS, *BENCHMARKS, *TOOLS], private_names_used) == {}


def test_a_module_uses_no_private_name_of_another():
    assert found_in(PACKAGE, lambda path: set(private_names_used(path)) - private_names(path)) == {}
