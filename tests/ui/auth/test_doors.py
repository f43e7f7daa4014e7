"""However the server is started, strangers get nothing from it, and the project's settings apply."""

import http.client
import shlex
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request

import pytest

from expertnet.store.run_store import RunStore
from expertnet.ui.shell import PAGES
from tests.support.opening import written
from tests.support.raw import connected
from tests.support.served import ROOT, running_server

NAME = "Hidden from strangers"
SECRETS = """
[auth]
redirect_uri = "http://localhost/oauth2callback"
cookie_secret = "a secret of this test that protects nothing"
client_id = "studio"
client_secret = "secret"
server_metadata_url = "http://localhost:1/.well-known/openid-configuration"

[access]
allow = ["boss@team.org"]
"""


def streamlit_run(port):
    """The command that docs/deploy.md names for users of Streamlit."""
    return [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}"]


def expertnet_serve(port):
    return [sys.executable, "-m", "expertnet", "serve", "--port", str(port)]


def make_run(port):
    """The command that `make run` ends with."""
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "run", f"PORT={port}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    _, *options = shlex.split(done.stdout.splitlines()[-1])
    return [sys.executable, *options]


@pytest.fixture(scope="module", params=[(streamlit_run, ROOT), (expertnet_serve, None), (make_run, ROOT)])
def server(request, tmp_path_factory, shared_data):
    """The URL of a server that requires a login; `expertnet serve` is started in another folder."""
    (command, cwd), folder = request.param, tmp_path_factory.mktemp("door")
    (folder / "secrets.toml").write_text(SECRETS)
    written(RunStore(folder / "runs"), NAME)
    environment = {
        "EXPERTNET_RUNS": str(folder / "runs"),
        "EXPERTNET_DATA": str(shared_data),
        "PYTHONPATH": str(ROOT),
        "STREAMLIT_SECRETS_FILES": str(folder / "secrets.toml"),
    }
    with running_server(command, folder / "server.log", cwd=cwd or folder, environment=environment) as url:
        yield url


def status(url):
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.slow
def test_strangers_get_nothing(server):
    assert status(f"{server}/_stcore/health") == 200
    for path in ("signed-in", "_stcore/metrics", "_stcore/upload_file/a/b", "media/a.png", "upload/flowers/a1"):
        assert status(f"{server}/{path}") == 401
    for page in ("", *PAGES):
        with connected(server) as stranger:
            answer = stranger.rerun(page)
        assert "Sign in to see this page." in answer
        assert NAME not in answer


@pytest.mark.slow
def test_the_settings_of_the_project_apply(server):
    with connected(server) as session:
        (new,) = [answer.new_session for answer in session.answers("") if answer.HasField("new_session")]
    assert new.config.toolbar_mode == new.config.MINIMAL and not new.config.gather_usage_stats
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert config["theme"]["dark"]["primaryColor"] in str(new.custom_theme)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory, shared_data):
    """The URL of a server without a login, whose own name is studio.example.org."""
    folder = tmp_path_factory.mktemp("own")
    environment = {"EXPERTNET_RUNS": str(folder / "runs"), "EXPERTNET_DATA": str(shared_data)}
    with running_server(
        lambda port: [*expertnet_serve(port), "--allowed-host", "studio.example.org"],
        folder / "server.log",
        environment=environment,
    ) as url:
        yield url


def asked(url, host, path, upgrade):
    """The status and text of the answer to a request for a host name, from a page of that host."""
    headers = {"Host": host, "Origin": f"http://{host}"}
    if upgrade:
        headers |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        headers |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    text = "" if answer.status == 101 else answer.read().decode()
    connection.close()
    return answer.status, text


@pytest.mark.slow
@pytest.mark.parametrize(("path", "upgrade", "status"), [("/", False, 200), ("/_stcore/stream", True, 101)])
def test_only_the_servers_own_names_reach_it(own_server, path, upgrade, status):
    port = own_server.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "LOCALHOST:80", f"[::1]:{port}", "studio.example.org"):
        assert asked(own_server, host, path, upgrade)[0] == status, host
    for host in (f"evil.example:{port}", "evil.example", "localhost.evil.example", "127.0.0.1@evil.example", ""):
        code, text = asked(own_server, host, path, upgrade)
        assert code == 403 and "--allowed-host" in text, host
    for host in ("[fd00::7]", f"[fd00::7]:{port}"):
        assert "`expertnet serve --allowed-host fd00::7`" in asked(own_server, host, path, upgrade)[1]


@pytest.mark.slow
def test_a_probe_needs_no_name(own_server):
    assert asked(own_server, "10.0.0.7:8501", "/_stcore/health", False) == (200, "ok")
