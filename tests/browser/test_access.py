"""A server that asks for a login, with a real provider of logins on loopback: by the pages, cold links and the raw WebSocket."""

import importlib.util
import json
import shutil
import socket
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
from tests.support.raw import connected
from tests.support.served import ROOT, serving, settle

SHIPPED = ROOT / "runs" / "20261124-123318-dac5"
PAGES = ["train", "runs", "experts", "predict"]
PEOPLE = {"boss@team.org": True, "guest@team.org": True, "stranger@other.org": True, "unconfirmed@team.org": False}
LOOK = ["@team.org"]

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("authlib", "oidc_provider_mock")),
    reason="Authlib or oidc-provider-mock was not found",
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_secrets(path, provider, look):
    text = f"""[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "a secret of this test alone, with which nothing is kept"
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
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/.well-known/openid-configuration", timeout=60).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                try:
                    process.wait(timeout=0.1)
                except subprocess.TimeoutExpired:
                    continue
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the server: its store has a trained run of its own, which is nobody's example."""
    made = tmp_path_factory.mktemp("guarded")
    run = made / "runs" / SHIPPED.name.replace("-dac5", "-0000")
    shutil.copytree(SHIPPED, run)
    config = json.loads((run / "config.json").read_text()) | {"name": "Kept from strangers"}
    (run / "config.json").write_text(json.dumps(config))
    (run / "card.md").unlink()
    return made


@pytest.fixture(scope="module")
def server(folder, shared_data, provider):
    write_secrets(folder / "secrets.toml", provider, LOOK)
    with serving(folder, shared_data, f"--secrets.files={folder / 'secrets.toml'}") as address:
        yield address


@pytest.fixture
def run(folder):
    return RunStore(folder / "runs").list()[-1]


@pytest.fixture
def visitor(browser, server):
    """visitor() -> a page of a new visitor; visitor("boss@team.org", "runs") -> signed in, having asked for a page."""
    contexts = []

    def come(email=None, path=""):
        contexts.append(browser.new_context(viewport={"width": 1440, "height": 1600}))
        page = contexts[-1].new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{server}/{path}")
        settle(page)
        if email is not None:
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("button", name=email).click()
            page.wait_for_url(f"{server}/**")
            page.get_by_role("button", name="Sign out").wait_for()
        return page

    yield come
    for context in contexts:
        context.close()


def cookies_of(page):
    return {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}


def status(address, cookies=None):
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_the_server_listens_on_this_machine_alone(server):
    port = int(server.rpartition(":")[2])
    listening = [c.laddr.ip for c in psutil.net_connections("inet") if c.status == "LISTEN" and c.laddr.port == port]
    assert listening == ["127.0.0.1"]


@pytest.mark.parametrize("path", ["", *PAGES])
def test_a_cold_link_shows_the_sign_in_alone(visitor, run, path):
    page = visitor(path=f"{path}?run={run.id}")
    expect(page.get_by_text("Sign in to see this page.")).to_be_visible(timeout=60_000)
    seen = page.locator("[data-testid=stApp]").inner_text()
    for word in ("Kept from strangers", run.id, *map(str.capitalize, PAGES)):
        assert word not in seen


def test_after_the_sign_in_one_is_where_one_wanted_to_be(visitor, server, run):
    page = visitor("boss@team.org", f"train?run={run.id}")
    expect(page.get_by_role("heading", name="Kept from strangers")).to_be_visible(timeout=60_000)
    assert page.url == f"{server}/train?run={run.id}"
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="End session").click()  # the provider's
    expect(page.get_by_text("Sign in to see this page.")).to_be_visible(timeout=60_000)
    page.goto(f"{server}/runs")
    expect(page.get_by_text("Sign in to see this page.")).to_be_visible(timeout=60_000)


@pytest.mark.parametrize(
    ("email", "says"),
    [("stranger@other.org", "has no access to this server"), ("unconfirmed@team.org", "has verified")],
)
def test_whoever_is_not_on_the_list_stays_outside(visitor, server, run, email, says):
    page = visitor(email, f"train?run={run.id}")
    expect(page.get_by_text(says)).to_be_visible(timeout=60_000)
    assert "Kept from strangers" not in page.locator("[data-testid=stApp]").inner_text()
    assert status(f"{server}/signed-in", cookies_of(page)) == 401


def test_images_and_figures_of_the_server_are_closed_too(visitor, server, run):
    page = visitor("guest@team.org", f"experts?run={run.id}")
    page.get_by_role("radio", name="Upload").click()
    png = (ROOT / "docs" / "images" / "runs.png").read_bytes()
    page.set_input_files("input[type=file]", [{"name": "a.png", "mimeType": "image/png", "buffer": png}])
    image = page.locator("[data-testid=stImage] img").first
    image.wait_for()
    address = server + image.get_attribute("src").removeprefix(server)
    assert "/media/" in address
    cookies = cookies_of(page)
    forged = cookies | {"_streamlit_user": cookies["_streamlit_user"][:-1]}
    for closed in (address, f"{server}/_stcore/metrics", f"{server}/signed-in"):
        assert status(closed, cookies) in (200, 204)
        assert status(closed) == status(closed, forged) == 401
    assert status(f"{server}/_stcore/health") == 200


# --- the raw WebSocket -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["", *PAGES])
def test_the_raw_socket_gives_nothing_without_a_login(server, run, page):
    with connected(server) as stranger:
        said = stranger.rerun(page, f"run={run.id}")
    assert "Sign in to see this page." in said
    assert "Kept from strangers" not in said and run.id not in said.replace(f"run={run.id}", "")


def test_no_widget_event_is_had_without_a_login(server, visitor, run, folder):
    """The events of someone who may, sent by others: a stranger, a forger, and one who may only look."""
    boss = cookies_of(visitor("boss@team.org"))
    with connected(server, boss) as allowed:
        allowed.rerun("train", f"run={run.id}")
        start = allowed.widget("start")
        assert "Kept from strangers" in allowed.rerun("train", f"run={run.id}")
    guest = cookies_of(visitor("guest@team.org"))
    forged = boss | {"_streamlit_user": guest["_streamlit_user"][:-1]}
    before = [kept.id for kept in RunStore(folder / "runs").list()]
    for cookies in (None, forged, guest):
        with connected(server, cookies) as sender:
            sender.rerun("train")
            said = sender.rerun("train", pressed=[start])
            assert ("Sign in to see this page." in said) is (cookies is not guest)
    assert [kept.id for kept in RunStore(folder / "runs").list()] == before
    with connected(server, boss) as allowed:
        allowed.rerun("train")
        allowed.rerun("train", pressed=[start])
    (begun,) = [kept for kept in RunStore(folder / "runs").list() if kept.id not in before]
    with suppress(RunError):  # which has ended
        begun.ask_to_stop(discard=True)  # training it is another test's


# --- a right that ends -----------------------------------------------------------------------------------------------


def test_an_open_page_closes_when_its_right_ends(visitor, folder, provider, run):
    """At the next tick of its live view, without anybody touching it."""
    page = visitor("guest@team.org", f"train?run={run.id}")
    expect(page.get_by_role("heading", name="Kept from strangers")).to_be_visible(timeout=60_000)
    write_secrets(folder / "secrets.toml", provider, [])
    try:
        expect(page.get_by_text("has no access to this server")).to_be_visible(timeout=120_000)
        expect(page.get_by_role("heading", name="Kept from strangers")).to_have_count(0, timeout=60_000)
    finally:
        write_secrets(folder / "secrets.toml", provider, LOOK)
