"""The access rules of secrets.toml, and that pages change something only after checking them."""

import ast
from pathlib import Path

import pytest

from expertnet.errors import AccessError
from expertnet.ui.auth.rules import rules

ROOT = Path(__file__).parents[3]
AUTH = {"cookie_secret": "s" * 32}
WRITES = {
    "annotate",
    "commit_epoch",
    "create",
    "empty_trash",
    "force_stop",
    "keep_upload",
    "move_to_trash",
    "move_up",
    "pause",
    "remove_upload",
    "restore_run",
    "resume",
    "rmtree",
    "roll_back",
    "run_next",
    "save_folder",
    "save_upload",
    "stop",
    "submit",
    "unlink",
    "write_atomically",
    "write_bytes",
    "write_config",
    "write_status",
    "write_text",
}
HARMLESS = {"st.stop"}  # it ends the script


def claims(email, verified=True, signed_in=True):
    return {"is_logged_in": signed_in, "email": email, "email_verified": verified}


def role(access, *args, **options):
    return rules({"auth": AUTH, "access": access}).role(claims(*args, **options))


@pytest.mark.parametrize(
    ("email", "expected"),
    [
        ("jo@example.org", "all"),
        ("JO@Example.ORG", "all"),
        ("anyone@team.org", "all"),
        ("guest@team.org", "look"),
        ("boss@visitors.org", "all"),
        ("someone@visitors.org", "look"),
        ("jo@example.org.evil.net", None),
        ("jo@sub.team.org", None),
        ("team.org", None),
        ("@team.org", None),
        ("", None),
        (None, None),
        (["jo@example.org"], None),
        ("jo@\u212aample.org", None),
    ],
)
def test_the_most_specific_entry_decides_the_role(email, expected):
    access = {
        "allow": ["Jo@example.org", "@team.org", "boss@visitors.org"],
        "look": ["guest@TEAM.org", "@visitors.org"],
    }
    assert role(access, email) == expected


def test_an_email_in_both_lists_is_view_only():
    assert role({"allow": ["a@b.org"], "look": ["a@b.org"]}, "a@b.org") == "look"


@pytest.mark.parametrize(
    ("verified", "expected"), [(True, "all"), ("true", "all"), (False, None), (None, None), ("no", None)]
)
def test_an_unverified_email_has_no_role(verified, expected):
    assert role({"allow": ["a@b.org"]}, "a@b.org", verified) == expected


@pytest.mark.parametrize("signed_in", [False, None, "yes"])
def test_claims_without_a_login_have_no_role(signed_in):
    assert role({"allow": ["a@b.org"]}, "a@b.org", signed_in=signed_in) is None


def test_without_both_sections_there_are_no_rules():
    assert rules({}) is None and rules({"other": 1}) is None


@pytest.mark.parametrize(
    ("secrets", "why"),
    [
        ({"auth": AUTH}, "needs both"),
        ({"access": {"allow": ["a@b.org"]}}, "needs both"),
        ({"auth": AUTH, "access": "a@b.org"}, "needs both"),
        ({"auth": "google", "access": {"allow": ["a@b.org"]}}, "needs both"),
        ({"auth": {}, "access": {"allow": ["a@b.org"]}}, "cookie_secret"),
        ({"auth": {"cookie_secret": "xxx"}, "access": {"allow": ["a@b.org"]}}, "cookie_secret"),
        ({"auth": AUTH, "access": {"allow": "a@b.org"}}, "must be a list"),
        ({"auth": AUTH, "access": {"allow": ["a@b.org", 7]}}, "Entry 2 of allow"),
        ({"auth": AUTH, "access": {"allow": ["a@b.org"], "look": ["b.org"]}}, "Entry 1 of look"),
        ({"auth": AUTH, "access": {"allow": ["@"]}}, "Entry 1 of allow"),
        ({"auth": AUTH, "access": {"allow": ["*"]}}, "Entry 1 of allow"),
        ({"auth": AUTH, "access": {"allow": ["a@b.org"], "alow": []}}, "accepts only"),
        ({"auth": AUTH, "access": {}}, "lists no users"),
        ({"auth": AUTH, "access": {"allow": [], "look": []}}, "lists no users"),
    ],
)
def test_rules_that_cannot_be_applied_are_rejected(secrets, why):
    with pytest.raises(AccessError, match=why) as raised:
        rules(secrets)
    assert "b.org" not in str(raised.value)  # strangers read this message


# --- the pages -------------------------------------------------------------------------------------------------------


def dotted(node):
    return ast.unparse(node).removesuffix("()")


def guarded(node):
    """The parts of a file that run inside act(...), action(...) or `with login.changing()`."""
    if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in ("act", "action"):
        return node.args
    asks = isinstance(node, ast.With) and any(
        isinstance(item.context_expr, ast.Call) and dotted(item.context_expr.func).endswith("changing")
        for item in node.items
    )
    return node.body if asks else []


def unguarded_writes(source):
    """The lines of a file with a write outside guarded parts, and outside functions that only guarded parts call."""
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) for top in guarded(node) for part in ast.walk(top)}
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    while True:
        named = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in functions]
        before = len(inside)
        for name, function in functions.items():
            uses = [node for node in named if node.id == name]
            if uses and all(id(use) in inside for use in uses):
                inside |= {id(part) for part in ast.walk(function)}
        if len(inside) == before:
            break
    for node in ast.walk(tree):
        is_write = (isinstance(node, ast.Attribute) and node.attr in WRITES and dotted(node) not in HARMLESS) or (
            isinstance(node, ast.Name) and node.id in WRITES
        )
        if is_write and id(node) not in inside:
            yield f"line {node.lineno}: {dotted(node)}"


SOURCES = sorted([*(ROOT / "pages").rglob("*.py"), *(ROOT / "expertnet" / "ui").rglob("*.py")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_changes_something_only_after_checking_the_role(path):
    assert list(unguarded_writes(path.read_text())) == []


@pytest.mark.parametrize("path", sorted((ROOT / "pages").glob("*.py")), ids=lambda path: path.name)
def test_a_page_begins_with_its_guard(path):
    statements = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Expr)]
    assert ast.unparse(statements[1]) == "shell.require()"  # after the docstring


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_login_module_makes_fragments(path):
    if path.name != "login.py":
        assert "st.fragment" not in path.read_text()


@pytest.mark.parametrize(
    "source",
    [
        "manager().stop(run)",
        "if st.button('x'):\n    run.move_to_trash()",
        "st.button('x', on_click=run.move_to_trash)",
        "def f():\n    run.stop()\nshell.act(f)\nf()",
        "with shown_error():\n    save_upload(a, b)",
    ],
)
def test_an_unguarded_write_is_found(source):
    assert list(unguarded_writes(source))


@pytest.mark.parametrize(
    "source",
    [
        "shell.act(lambda: manager().stop(run))",
        "act(run.move_to_trash)",
        "shell.action(place, 'x', 'delete', 'x', lambda: run.move_to_trash())",
        "def f():\n    run.stop()\nshell.act(lambda: f())",
        "with shown_error(), login.changing():\n    run.stop()",
    ],
)
def test_a_guarded_write_passes(source):
    assert not list(unguarded_writes(source))
