"""Pages where secrets.toml asks for a login: nothing without one, and no change by those who may only look."""

import threading

import pytest
import streamlit as st
from streamlit.runtime.secrets import Secrets
from streamlit.testing.v1 import AppTest

from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.ui.auth import login
from expertnet.ui.runs import table
from tests.pages.test_pages import PAGES, archive_of
from tests.support import opening
from tests.support.opening import TINY, finished

SECRETS = {
    "auth": {"cookie_secret": "s" * 32, "redirect_uri": "http://localhost/oauth2callback"},
    "access": {"allow": ["boss@team.org"], "look": ["@team.org"]},
}
BOSS, GUEST, STRANGER = (
    {"is_logged_in": True, "email": email, "email_verified": True}
    for email in ("boss@team.org", "guest@team.org", "x@other.org")
)
OUT = {"is_logged_in": False}


@pytest.fixture(autouse=True)
def open_server(monkeypatch):
    """As after a start: no login has been asked for yet."""
    monkeypatch.setattr(login, "_closed", threading.Event())


def visit(page, user, secrets=SECRETS, run=None, test=None):
    """A user's first visit to a page, through the navigation unless `test` says otherwise."""
    test = test or opening.new_session(page)
    test.secrets, test.user = secrets, user
    if run is not None:
        test.query_params["run"] = run.id
    test.run()
    assert not test.exception, [error.value for error in test.exception]
    return test


def drawn(test):
    """What a page shows: the kinds of its elements, but for the containers around them."""
    return [
        element.type
        for element in test.main
        if element.type not in ("main", "vertical", "horizontal", "flex_container")
    ]


def queued(store):
    """A run that has not begun, with a name that only its pages show."""
    run = store.create(build_settings("quick", "digits", TINY), "quick", "Kept from strangers")
    run.write_status(run.status().changed(state="failed", error="It was in the dark."))
    return run


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("navigated", [True, False])
@pytest.mark.parametrize(
    ("user", "kind", "says"),
    [
        (OUT, "info", "Sign in to see"),
        (BOSS | {"is_logged_in": "yes"}, "error", "not among"),
        (STRANGER, "error", "x@other.org is not among"),
        (BOSS | {"email_verified": False}, "error", "its provider has confirmed"),
    ],
)
def test_whoever_may_not_come_in_gets_a_sentence_and_nothing_else(page, navigated, user, kind, says):
    """Even if a page's script runs without the navigation, which has a guard of its own."""
    alone = None if navigated else AppTest.from_file(f"../../pages/{page}.py", default_timeout=300)
    test = visit(page, user, run=queued(RunStore()), test=alone)
    assert drawn(test) == [kind, "button"]
    assert says in getattr(test, kind)[0].value


@pytest.mark.parametrize(("user", "role"), [(BOSS, ""), (GUEST, " · may look only")])
def test_whoever_may_come_in_sees_the_pages_and_their_address(user, role):
    run = finished(RunStore())
    for page in PAGES:
        test = visit(page, user, run=run)
        assert test.caption[0].value == user["email"] + role
        assert test.header and not test.error
        test.button(key="sign out").click().run()
        assert drawn(test) == ["info", "button"]


# --- those who may only look -----------------------------------------------------------------------------------------


def pressed(test, key, user=None):
    """Presses a button as a browser could that takes no notice of its being disabled, as another person if one is given."""
    button = test.button(key=key)
    was_disabled, button.proto.disabled = button.proto.disabled, False
    if user is not None:
        test.user = user
    button.click().run()
    assert not test.exception, [error.value for error in test.exception]
    return was_disabled


@pytest.fixture
def only_run(monkeypatch):
    """The Runs page with its run ticked."""
    monkeypatch.setattr(table, "run_table", lambda runs: runs)
    return finished(RunStore())


def test_those_who_may_only_look_find_the_buttons_disabled(only_run):
    test = visit("runs", GUEST)
    button = test.button(key=f"delete {only_run.id}")
    assert button.disabled and "look at everything" in button.help
    assert visit("train", GUEST).button(key="start").disabled
    test = visit("runs", BOSS)
    assert not test.button(key=f"delete {only_run.id}").disabled
    assert not visit("train", BOSS).button(key="start").disabled


def test_a_disabled_button_that_is_pressed_all_the_same_changes_nothing(only_run):
    for page, key in (("runs", f"delete {only_run.id}"), ("train", "start")):
        assert pressed(visit(page, GUEST), key)
        assert [run.id for run in RunStore().list()] == [only_run.id]


def test_an_action_asks_even_where_its_button_was_not_disabled(only_run, monkeypatch):
    monkeypatch.setattr(login, "reserved", lambda **own: own)
    for page, key in (("runs", f"delete {only_run.id}"), ("train", "start")):
        test = visit(page, GUEST)
        assert not pressed(test, key)
        assert ["not start, stop or delete" in error.value for error in test.error] == [True]
        assert [run.id for run in RunStore().list()] == [only_run.id]


@pytest.mark.parametrize("later", [GUEST, STRANGER, OUT])
def test_a_right_that_has_ended_since_the_page_was_drawn_changes_nothing(only_run, later):
    test = visit("runs", BOSS)
    assert not pressed(test, f"delete {only_run.id}", later)
    assert RunStore().list()
    if later is not GUEST:
        assert drawn(test)[1:] == ["button"]


def test_those_who_may_delete_do(only_run):
    test = visit("runs", BOSS)
    assert not pressed(test, f"delete {only_run.id}")
    assert not RunStore().list()


@pytest.mark.parametrize(("user", "kept"), [(BOSS, True), (GUEST, False)])
def test_an_archive_is_kept_only_for_those_who_may(user, kept, tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    test = visit("train", user)
    test.selectbox(key="field 1 source").set_value("own").run()
    uploader = test.file_uploader[0]
    assert uploader.proto.disabled is not kept
    uploader.proto.disabled = False
    uploader.upload("images.zip", archive_of("cat", "dog"), "application/zip").run()
    assert not test.exception
    assert bool(list(tmp_path.rglob("*.zip"))) is kept


# --- secrets.toml ----------------------------------------------------------------------------------------------------


def lock(test):
    assert drawn(test) == ["error"]
    return test.error[0].value


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"access": {}}, "names nobody"),
        ({"access": {"allow": "boss@team.org"}}, "list"),
        ({"auth": {"cookie_secret": ""}}, "random"),
    ],
)
def test_rules_that_are_damaged_close_every_page(change, why):
    for page in PAGES:
        assert why in lock(visit(page, BOSS, SECRETS | change))


def test_rules_count_from_the_next_look_on():
    test = visit("runs", GUEST)
    test.secrets = SECRETS | {"access": {"allow": ["boss@team.org"]}}
    test.run()
    assert drawn(test) == ["error", "button"]


def test_a_login_that_is_gone_from_the_file_opens_nothing():
    """As an editor leaves the file for an instant while it writes it."""
    visit("runs", BOSS)
    assert "gone from secrets" in lock(visit("runs", {}, {"other": "1"}))


@pytest.mark.parametrize("content", [b"[auth\n", b"\xff\xfe"])
def test_a_damaged_file_opens_nothing(content, tmp_path, monkeypatch):
    path = tmp_path / "secrets.toml"
    path.write_bytes(content)
    monkeypatch.setattr(st, "secrets", Secrets())
    before = st.config.get_option("secrets.files")
    st.config.set_option("secrets.files", [str(path)])
    try:
        assert "cannot be read" in lock(visit("runs", {}, {}))
    finally:
        st.config.set_option("secrets.files", before)


@pytest.mark.parametrize(
    ("auth", "labels"),
    [
        ({"client_id": "a", "client_kwargs": {"prompt": "login"}}, ["Sign in"]),
        (
            {"google": {"client_id": "a"}, "microsoft": {"client_id": "b"}},
            ["Sign in with google", "Sign in with microsoft"],
        ),
    ],
)
def test_each_provider_has_its_button(auth, labels):
    test = visit("train", OUT, SECRETS | {"auth": SECRETS["auth"] | auth})
    assert [button.label for button in test.button] == labels
