"""Who may come in by the rules of secrets.toml, and that pages change something only where those rules are asked."""

import ast
from pathlib import Path

import pytest

from expertnet.errors import AccessError
from expertnet.ui.auth.rules import rules

ROOT = Path(__file__).parents[3]
AUTH = {"cookie_secret": "s" * 32}
WRITES = {  # methods and functions that start, stop, keep or delete something; whoever adds one names it here
    "commit_epoch",
    "create",
    "end_by_force",
    "save_upload",
    "move_to_trash",
    "move_up",
    "pause",
    "resume",
    "rmtree",
    "roll_back",
    "run_next",
    "stop",
    "submit",
    "unlink",
    "write_atomically",
    "write_bytes",
    "write_config",
    "write_status",
    "write_text",
}
HARMLESS = {"st.stop"}  # ends the script


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
def test_an_address_has_the_role_of_its_nearest_entry(email, expected):
    access = {
        "allow": ["Jo@example.org", "@team.org", "boss@visitors.org"],
        "look": ["guest@TEAM.org", "@visitors.org"],
    }
    assert role(access, email) == expected


def test_in_both_lists_the_narrower_right_counts():
    assert role({"allow": ["a@b.org"], "look": ["a@b.org"]}, "a@b.org") == "look"


@pytest.mark.parametrize(
    ("verified", "expected"), [(True, "all"), ("true", "all"), (False, None), (None, None), ("no", None)]
)
def test_an_address_counts_only_where_its_provider_confirms_it(verified, expected):
    assert role({"allow": ["a@b.org"]}, "a@b.org", verified) == expected


@pytest.mark.parametrize("signed_in", [False, None, "yes"])
def test_claims_without_a_login_count_for_nothing(signed_in):
    assert role({"allow": ["a@b.org"]}, "a@b.org", signed_in=signed_in) is None


def test_without_either_section_everybody_may_do_everything():
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
        ({"auth": AUTH, "access": {"allow": "a@b.org"}}, "has to be a list"),
        ({"auth": AUTH, "access": {"allow": ["a@b.org", 7]}}, "Entry 2 of allow"),
        ({"auth": AUTH, "access": {"allow": ["a@b.org"], "look": ["b.org"]}}, "Entry 1 of look"),
        ({"auth": AUTH, "access": {"allow": ["@"]}}, "Entry 1 of allow"),
        ({"auth": AUTH, "access": {"allow": ["*"]}}, "Entry 1 of allow"),
        ({"auth": AUTH, "access": {"allow": ["a@b.org"], "alow": []}}, "nothing else"),
        ({"auth": AUTH, "access": {}}, "names nobody"),
        ({"auth": AUTH, "access": {"allow": [], "look": []}}, "names nobody"),
    ],
)
def test_what_cannot_be_kept_to_opens_nothing(secrets, why):
    with pytest.raises(AccessError, match=why) as raised:
        rules(secrets)
    assert "b.org" not in str(raised.value)  # strangers read the sentence


# --- the pages -------------------------------------------------------------------------------------------------------


def dotted(node):
    return ast.unparse(node).removesuffix("()")


def guarded(node):
    """The parts of a file that run inside act(...) or `with access.changing()`."""
    if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] == "act":
        return node.args
    asks = isinstance(node, ast.With) and any(
        isinstance(item.context_expr, ast.Call) and dotted(item.context_expr.func).endswith("changing")
        for item in node.items
    )
    return node.body if asks else []


def unguarded_writes(source):
    """The lines of a file that name a write outside of those parts, and outside of functions that only those parts name."""
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
def test_a_page_changes_something_only_where_it_asks_whether_it_may(path):
    assert list(unguarded_writes(path.read_text())) == []


@pytest.mark.parametrize("path", sorted((ROOT / "pages").glob("*.py")), ids=lambda path: path.name)
def test_a_page_begins_with_its_guard(path):
    statements = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Expr)]
    assert ast.unparse(statements[1]) == "shell.require()"  # after the docstring


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_ticks_are_those_that_ask_again(path):
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
def test_a_write_that_does_not_ask_is_found(source):
    assert list(unguarded_writes(source))


@pytest.mark.parametrize(
    "source",
    [
        "shell.act(lambda: manager().stop(run))",
        "act(run.move_to_trash)",
        "def f():\n    run.stop()\nshell.act(lambda: f())",
        "with shown_error(), access.changing():\n    run.stop()",
    ],
)
def test_a_write_that_asks_passes(source):
    assert not list(unguarded_writes(source))
