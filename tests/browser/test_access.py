"""A server that requires a login, tested through pages, direct links and the raw WebSocket, with a real login provider."""

import importlib.util
import json
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress

import psutil
import pytest
from playwright.sync_api import expect

from expertnet.errors import RunError
from expertnet.store.run_store import RunStore
from expertnet.utils.files import write_atomically
from tests.support.axe import serious_findings
from tests.support.opening import copy_of_shipped
from tests.support.raw import connected
from tests.support.served import ROOT, answers, free_port, serving, settle

PAGES = ["train", "data", "sweep", "runs", "evaluate", "experts", "predict"]
PEOPLE = {"boss@team.org": True, "guest@team.org": True, "stranger@other.org": True, "unconfirmed@team.org": False}
LOOK = ["@team.org"]

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("authlib", "oidc_provider_mock")),
    reason="Authlib or oidc-provider-mock was not found",
)


def write_secrets(path, provider, look):
    text = f"""[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "a secret that only this test uses, long enough to be accepted"
client_id = "studio"
client_secret = "secret"
server_metadata_url = "{provider}/.well-known/openid-configuration"

[access]
allow = ["boss@team.org"]
look = {json.dumps(look)}
"""
    write_atomically(path, text.encode())


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    port = free_port()
    claims = [
        json.dumps({"sub": email, "email": email, "email_verified": verified}) for email, verified in PEOPLE.items()
    ]
    command = [sys.executable, "-m", "oidc_provider_mock", "-p", str(port)]
    log = tmp_path_factory.mktemp("provider") / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *(word for user in claims for word in ("--user-claims", user))],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        assert answers(process, f"{url}/.well-known/openid-configuration"), log.read_text()
        yield url
    finally:
        process.terminate()
        process.wait(timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("guarded")


@pytest.fixture(scope="module")
def run(folder):
    return copy_of_shipped(RunStore(folder / "runs"), "Kept from strangers")


@pytest.fixture(scope="module")
def server(folder, run, shared_data, provider):
    write_secrets(folder / "secrets.toml", provider, LOOK)
    with serving(folder, shared_data, f"--secrets.files={folder / 'secrets.toml'}") as url:
        yield url


@pytest.fixture
def visitor(new_page, server):
    """Return a function: visitor() returns a new visitor's page, visitor("boss@team.org", "runs") one that has signed in."""

    def come(email=None, path=""):
        page = new_page()
        page.goto(f"{server}/{path}")
        settle(page.get_by_role("button", name="Sign in"))
        if email is not None:
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("button", name=email).click()
            settle(page.get_by_role("button", name="Sign out"))
        return page

    return come


def cookies_of(page):
    return {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}


def status(url, cookies=None, **more):
    """Return the HTTP status with which the server answers a request that bypasses the browser."""
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())} | more
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_the_server_listens_only_on_this_machine(server):
    port = int(server.rpartition(":")[2])
    listening = [c.laddr.ip for c in psutil.net_connections("inet") if c.status == "LISTEN" and c.laddr.port == port]
    assert listening == ["127.0.0.1"]


@pytest.mark.parametrize("path", ["", *PAGES])
def test_a_direct_link_shows_only_the_sign_in(visitor, run, path):
    page = visitor(path=f"{path}?run={run.id}")
    expect(page.get_by_text("Sign in to see this page.")).to_be_visible()
    seen = page.locator("[data-testid=stApp]").inner_text()
    for word in ("Kept from strangers", run.id, *map(str.capitalize, PAGES)):
        assert word not in seen


def test_axe_finds_nothing_serious_where_you_sign_in(visitor):
    assert serious_findings(visitor()) == []


def test_signing_in_leads_back_to_the_page_that_was_asked_for(visitor, server, run):
    page = visitor("boss@team.org", f"train?run={run.id}")
    expect(page.get_by_role("heading", name="Kept from strangers")).to_be_visible()
    expect(page).to_have_url(f"{server}/train?run={run.id}")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="End session").click()  # on the provider's page
    expect(page.get_by_text("Sign in to see this page.")).to_be_visible()
    page.goto(f"{server}/runs")
    expect(page.get_by_text("Sign in to see this page.")).to_be_visible()


@pytest.mark.parametrize(
    ("email", "says"),
    [("stranger@other.org", "has no access to this server"), ("unconfirmed@team.org", "has verified")],
)
def test_users_who_are_not_on_the_list_see_nothing(visitor, server, run, email, says):
    page = visitor(email, f"train?run={run.id}")
    settle(page.get_by_text(says))
    assert "Kept from strangers" not in page.locator("[data-testid=stApp]").inner_text()
    assert status(f"{server}/signed-in", cookies_of(page)) == 401


def test_images_and_metrics_of_the_server_need_a_login_too(visitor, server, run):
    page = visitor("guest@team.org", f"experts?run={run.id}")
    page.get_by_role("radio", name="Upload").click()
    png = (ROOT / "docs" / "images" / "runs.png").read_bytes()
    page.set_input_files("input[type=file]", [{"name": "a.png", "mimeType": "image/png", "buffer": png}])
    image = page.locator("img[alt='a.png']")
    settle(image)
    media = server + image.get_attribute("src").removeprefix(server)
    assert "/media/" in media
    cookies = cookies_of(page)
    forged = cookies | {"_streamlit_user": cookies["_streamlit_user"][:-1]}
    for closed in (media, f"{server}/_stcore/metrics", f"{server}/signed-in"):
        assert status(closed, cookies) in (200, 204)
        assert status(closed) == status(closed, forged) == 401
    assert status(f"{server}/_stcore/health") == 200


# --- the raw WebSocket -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["", *PAGES])
def test_the_raw_socket_reveals_nothing_without_a_login(server, run, page):
    with connected(server) as stranger:
        said = stranger.rerun(page, f"run={run.id}")
    assert "Sign in to see this page." in said
    assert "Kept from strangers" not in said and run.id not in said.replace(f"run={run.id}", "")


def test_widget_events_change_nothing_without_the_right_to(server, visitor, run, folder):
    """A stranger, a forger and a user with read-only access send the events of a user who may start runs."""
    boss = cookies_of(visitor("boss@team.org"))
    with connected(server, boss) as allowed:
        allowed.rerun("train", "run=none")
        start = allowed.button_id("start")
        assert "Kept from strangers" in allowed.rerun("train", f"run={run.id}")
    guest = cookies_of(visitor("guest@team.org"))
    forged = boss | {"_streamlit_user": guest["_streamlit_user"][:-1]}
    before = [each.id for each in RunStore(folder / "runs").list()]
    for cookies, code in ((None, 401), (forged, 401), (guest, 403), (boss, 409)):  # there is no such dataset
        assert status(f"{server}/upload/flowers/a1", cookies, **{"x-expertnet-upload": "1"}) == code
    for cookies in (None, forged, guest):
        with connected(server, cookies) as sender:
            sender.rerun("train", "run=none")
            said = sender.rerun("train", "run=none", [start])
            assert ("Sign in to see this page." in said) is (cookies is not guest)
    assert [each.id for each in RunStore(folder / "runs").list()] == before
    with connected(server, boss) as allowed:
        allowed.rerun("train", "run=none")
        allowed.rerun("train", "run=none", [start])
    (started,) = [each for each in RunStore(folder / "runs").list() if each.id not in before]
    with suppress(RunError):  # raised if it has ended already
        started.ask_to_stop(discard=True)


# --- rights that end -----------------------------------------------------------------------------------------------


def test_an_open_page_closes_when_the_right_to_see_it_ends(visitor, folder, provider, run):
    """The next tick of its live view closes it, without a click."""
    page = visitor("guest@team.org", f"train?run={run.id}")
    expect(page.get_by_role("heading", name="Kept from strangers")).to_be_visible()
    write_secrets(folder / "secrets.toml", provider, [])
    try:
        expect(page.get_by_text("has no access to this server")).to_be_visible()
        expect(page.get_by_role("heading", name="Kept from strangers")).to_have_count(0)
    finally:
        write_secrets(folder / "secrets.toml", provider, LOOK)
