"""Pages of a server with a login: strangers see nothing, and view-only users change nothing."""

import json
import threading

import pytest
import streamlit as st
from streamlit.runtime.secrets import Secrets
from streamlit.testing.v1 import AppTest

from expertnet.data.own.edits import remove_images
from expertnet.data.own.folders import dataset_ids
from expertnet.data.own.versions import history, open_version
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.ui.auth import login
from expertnet.ui.shell import PAGES
from tests.support.access import BOSS, GUEST, OUT, SECRETS, STRANGER, pressed, visit
from tests.support.opening import TINY, finished
from tests.support.own import flowers
from tests.support.sweeps import done, started
from tests.support.uploads import archive_of


@pytest.fixture(autouse=True)
def fresh_server(monkeypatch):
    """As after a start, before any login was required."""
    monkeypatch.setattr(login, "login_required", threading.Event())


def drawn(test):
    """The types of a page's elements, without their containers."""
    return [
        element.type
        for element in test.main
        if element.type not in ("main", "vertical", "horizontal", "flex_container")
    ]


def queued(store):
    """A run that has not started, with a name that strangers must not see."""
    run = store.create(build_settings("quick", "digits", TINY), "quick", "Kept from strangers")
    run.write_status(run.status().changed(state="failed", error="The power failed."))
    return run


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("navigated", [True, False])
@pytest.mark.parametrize(
    ("user", "kind", "says"),
    [
        (OUT, "info", "Sign in to see"),
        (BOSS | {"is_logged_in": "yes"}, "error", "has no access"),
        (STRANGER, "error", "x@other.org has no access"),
        (BOSS | {"email_verified": False}, "error", "its provider has verified"),
    ],
)
def test_users_without_access_see_one_message_and_nothing_else(page, navigated, user, kind, says):
    """Even if a page's script runs without the navigation, which has a guard of its own."""
    alone = None if navigated else AppTest.from_file(f"../../pages/{page}.py", default_timeout=300)
    test = visit(page, user, run=queued(RunStore()).id, test=alone)
    assert drawn(test) == [kind, "button"]
    assert says in getattr(test, kind)[0].value


@pytest.mark.parametrize(("user", "role"), [(BOSS, ""), (GUEST, " · view only")])
def test_users_with_access_see_the_pages_and_their_email(user, role):
    run = finished(RunStore())
    for page in PAGES:
        test = visit(page, user, run=run.id)
        assert test.caption[0].value == user["email"] + role
        assert test.header and not test.error
        test.button(key="sign out").click().run()
        assert drawn(test) == ["info", "button"]


# --- view-only users -------------------------------------------------------------------------------------------------


@pytest.fixture
def only_run():
    return finished(RunStore())


def test_view_only_users_find_the_buttons_disabled(only_run):
    test = visit("runs", GUEST, open=only_run.id)
    button = test.button(key=f"delete {only_run.id}")
    assert button.disabled and "view-only access" in button.help
    assert visit("train", GUEST, run="none").button(key="start").disabled
    test = visit("runs", BOSS, open=only_run.id)
    assert not test.button(key=f"delete {only_run.id}").disabled
    assert not visit("train", BOSS, run="none").button(key="start").disabled


def test_pressing_a_disabled_button_changes_nothing(only_run):
    for page, key in (("runs", f"delete {only_run.id}"), ("train", "start")):
        assert pressed(visit(page, GUEST, open=only_run.id, run="none"), key)
        assert [run.id for run in RunStore().list()] == [only_run.id]


@pytest.mark.parametrize("tampered", [False, True])
def test_only_users_who_may_make_changes_can_delete_a_sweep(monkeypatch, tampered):
    sweep = done(started(RunStore()))
    if tampered:
        monkeypatch.setattr(login, "reserved", lambda **own: own)
    assert pressed(visit("sweep", GUEST, sweep=sweep.id), f"delete {sweep.id}") != tampered and sweep.has_plan
    assert not pressed(visit("sweep", BOSS, sweep=sweep.id), f"delete {sweep.id}") and not sweep.path.exists()


def test_an_action_checks_the_role_even_if_its_button_was_enabled(only_run, monkeypatch):
    monkeypatch.setattr(login, "reserved", lambda **own: own)
    for page, key in (("runs", f"delete {only_run.id}"), ("train", "start")):
        test = visit(page, GUEST, open=only_run.id, run="none")
        assert not pressed(test, key)
        assert ["stop or delete runs" in error.value for error in test.error] == [True]
        assert [run.id for run in RunStore().list()] == [only_run.id]


@pytest.mark.parametrize("later", [GUEST, STRANGER, OUT])
def test_a_role_lost_after_the_page_was_drawn_changes_nothing(only_run, later):
    test = visit("runs", BOSS, open=only_run.id)
    assert not pressed(test, f"delete {only_run.id}", later)
    assert RunStore().list()
    if later is not GUEST:
        assert drawn(test)[1:] == ["button"]


def test_users_with_full_access_can_delete(only_run):
    test = visit("runs", BOSS, open=only_run.id)
    assert not pressed(test, f"delete {only_run.id}")
    assert not RunStore().list()


@pytest.mark.parametrize(("user", "kept"), [(BOSS, True), (GUEST, False)])
def test_view_only_users_cannot_upload_an_archive(user, kept, tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    test = visit("train", user)
    test.session_state["form"].source = "own"
    test.run()
    uploader = next(each for each in test.file_uploader if each.label == "Upload an archive")
    assert uploader.proto.disabled is not kept
    uploader.proto.disabled = False
    uploader.upload("images.zip", archive_of("cat", "dog"), "application/zip").run()
    assert not test.exception
    assert bool(list(tmp_path.rglob("*.zip"))) is kept


def test_view_only_users_change_no_dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    dataset = flowers()
    keys = {
        "images": ("create 0", f"remove {dataset}", "undo 3"),
        "add": (f"add class {dataset}@3",),
        "versions": (f"restore {dataset}@3", f"prune {dataset}@3"),
    }
    remove_images(dataset, list(open_version(dataset).contents.images)[:1])
    before = history(dataset)
    for view, buttons in keys.items():
        for key in buttons:
            assert pressed(visit("data", GUEST, dataset=dataset, view=view), key)
    texts = [each.proto.json for each in visit("data", GUEST, dataset=dataset, view="add").get("bidi_component")]
    (dropzone,) = [json.loads(text) for text in texts if '"root"' in text]
    assert dropzone["locked"] is True
    assert history(dataset) == before and dataset_ids() == [dataset]


# --- secrets.toml ----------------------------------------------------------------------------------------------------


def lock(test):
    assert drawn(test) == ["error"]
    return test.error[0].value


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"access": {}}, "lists no users"),
        ({"access": {"allow": "boss@team.org"}}, "list"),
        ({"auth": {"cookie_secret": ""}}, "random"),
    ],
)
def test_invalid_rules_close_every_page(change, why):
    for page in PAGES:
        assert why in lock(visit(page, BOSS, SECRETS | change))


def test_changed_rules_apply_at_the_next_rerun():
    test = visit("runs", GUEST)
    test.secrets = SECRETS | {"access": {"allow": ["boss@team.org"]}}
    test.run()
    assert drawn(test) == ["error", "button"]


def test_removing_auth_from_the_file_opens_nothing():
    """As an editor may do for an instant while it saves the file."""
    visit("runs", BOSS)
    assert "missing from secrets" in lock(visit("runs", {}, {"other": "1"}))


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
def test_each_provider_has_a_button(auth, labels):
    test = visit("train", OUT, SECRETS | {"auth": SECRETS["auth"] | auth})
    assert [button.label for button in test.button] == labels
