"""What a user finds after `pip install .`: the command, the studio, the runs that ship and a store in the current folder."""

import json
import socket
import subprocess
import sys
import venv
from importlib.metadata import Distribution, distribution

import pytest
from packaging.requirements import Requirement

from expertnet import __version__
from expertnet.cli.main import main
from expertnet.cli.serve import refuse_port_in_use
from expertnet.errors import RunError, UserError
from expertnet.store import run_store
from expertnet.store.run_store import RunStore
from tests.support.opening import written
from tests.support.raw import connected
from tests.support.served import ROOT, running_server

SHIPPED = ["20261126-095209-771e", "20261126-073814-d4ec", "20261124-123318-dac5"]
TINY = ("training.epochs=1", "model.num_blocks=1", "model.pool_after=[]", "model.channels=8", "hardware.device=cpu")


@pytest.fixture
def installed_store(tmp_path, monkeypatch):
    """A store as an installed copy opens it, whose package has one run."""
    home = tmp_path / "package"
    shipped = written(RunStore(home / "runs"), "shipped")
    shipped.path.rename(home / "runs" / SHIPPED[0])
    monkeypatch.setattr(run_store, "INSTALLED", True)
    monkeypatch.setattr(run_store, "HOME", home)
    monkeypatch.delenv("EXPERTNET_RUNS")
    monkeypatch.chdir(tmp_path)
    return RunStore()


def test_an_installed_store_is_in_the_current_folder_and_shows_the_shipped_runs(installed_store, tmp_path):
    assert installed_store.root == tmp_path / "runs" and not installed_store.root.exists()
    assert [run.title for run in installed_store.list()] == ["shipped"]
    assert installed_store.resolve("latest").id == installed_store.resolve(SHIPPED[0][:9]).id == SHIPPED[0]
    own = written(installed_store, "own")
    assert own.path.parent == tmp_path / "runs"
    assert {run.title for run in RunStore().list()} == {"shipped", "own"}
    assert installed_store.get(own.id).path == own.path


def test_a_named_folder_shows_only_its_own_runs(installed_store, tmp_path, monkeypatch):
    for named in (RunStore(tmp_path / "other"), monkeypatch.setenv("EXPERTNET_RUNS", "other") or RunStore()):
        assert named.list() == []
        with pytest.raises(RunError, match="There is no run"):
            named.get(SHIPPED[0])


def test_a_run_of_the_user_hides_a_shipped_run_with_its_id(installed_store):
    own = written(installed_store, "own")
    own.path.rename(installed_store.root / SHIPPED[0])
    assert [run.title for run in installed_store.list()] == ["own"]
    assert installed_store.get(SHIPPED[0]).title == "own"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "much"], "Choose a port from 1 to 65535."),
        (["--port", "0"], "Choose a port from 1 to 65535."),
        (["--port", "{busy}"], "Port {busy} is not available: Address already in use"),
        (["--runs-dir", "{file}"], "{file}"),
        (["--runs-dir", "/proc/runs"], "/proc/runs cannot be"),
        (["--executor", "ray", "--run-cpus", "1.5", "--runs-dir", "{new}"], "CPUs of each run must be a whole number"),
    ],
)
def test_serve_rejects_what_it_cannot_use_in_one_sentence(arguments, says, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        known = {"busy": taken.getsockname()[1], "file": tmp_path / "file", "new": tmp_path / "new"}
        monkeypatch.setattr(sys, "argv", ["expertnet", "serve", *(word.format(**known) for word in arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    out, error = capsys.readouterr()
    assert ended.value.code == 2 and out == ""
    assert error.count("\n") == 1 and says.format(**known) in error


@pytest.mark.parametrize(("address", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_serve_refuses_a_port_of_its_address_only_while_it_is_in_use(address, family, monkeypatch):
    monkeypatch.setenv("STREAMLIT_SERVER_ADDRESS", address)
    with socket.create_server((address, 0), family=family) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} is not available: Address already in use"):
            refuse_port_in_use(port)
    refuse_port_in_use(port)


# --- the wheel -------------------------------------------------------------------------------------------------------


def needed_by(package, extras=("",)):
    """Return the installed packages that a package needs, and those that they need, by name and extras."""
    found, waiting = {}, [(package, extras)]
    while waiting:
        package, extras = waiting.pop()
        for wanted in map(Requirement, package.requires or ()):
            key = wanted.name, (*sorted(wanted.extras), "")
            applies = wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in extras)
            if applies and key not in found:
                found[key] = distribution(wanted.name)
                waiting.append((found[key], key[1]))
    return found


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """The folder with the commands of a new environment that has the wheel, and of this environment what the wheel requires."""
    folder = tmp_path_factory.mktemp("installed")
    environment = folder / "venv"
    venv.create(environment, symlinks=True)
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT], check=True)
    (wheel,) = folder.glob("expertnet-*.whl")
    install = ["install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run([*pip, "--python", environment, *install], check=True)
    (packages,) = environment.glob("lib/python3.*/site-packages")
    (metadata,) = packages.glob("expertnet-*.dist-info")
    for package in needed_by(Distribution.at(metadata)).values():
        for name in {file.parts[0] for file in package.files} - {"..", "__pycache__"}:
            if not (packages / name).exists():
                (packages / name).symlink_to(package.locate_file(name))
    return environment / "bin"


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty folder of a user who has set no variables."""
    monkeypatch.delenv("EXPERTNET_RUNS")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def output(folder, *command):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_the_command_starts_without_optional_packages(commands, empty):
    code = "import importlib.util as u; print(*(n for n in ('torch', 'optuna', 'ray', 'fastapi', 'pytest') if u.find_spec(n)))"
    assert output(empty, commands / "python", "-c", code).split() == ["torch"]
    assert "--vary" in output(empty, commands / "expertnet", "sweep", "--help")


@pytest.mark.long
def test_the_installed_command_trains_into_runs_and_finds_the_shipped_runs(commands, empty):
    where = output(
        empty, commands / "python", "-c", "import expertnet; print(expertnet.__version__, expertnet.__file__)"
    )
    assert where.split()[0] == __version__ and str(commands.parent) in where
    runs = [commands / "expertnet", "runs", "--json"]
    assert [run["run"] for run in json.loads(output(empty, *runs))] == SHIPPED
    image = ROOT / "docs" / "images" / "runs.png"
    (predicted,) = json.loads(output(empty, commands / "expertnet", "predict", "latest", image, "--json"))
    assert len(predicted["predictions"]) == 5
    assert list(empty.iterdir()) == []  # nothing was trained

    settings = [word for setting in TINY for word in ("--set", setting)]
    train = [commands / "expertnet", "train", "--preset", "quick", "--dataset", "digits", "--json", *settings]
    trained = json.loads(output(empty, *train))
    assert trained["state"] == "finished" and trained["epochs"] == 1
    assert (empty / "runs" / trained["run"] / "best.safetensors").is_file()
    assert {run["run"] for run in json.loads(output(empty, *runs))} == {trained["run"], *SHIPPED}


@pytest.mark.long
def test_the_installed_studio_is_served_from_any_folder(commands, empty):
    serve = lambda port: [commands / "expertnet", "serve", "--port", str(port)]  # noqa: E731
    with running_server(serve, empty.parent / "log", cwd=empty) as url:
        with connected(url) as session:
            answers = session.answers("runs")
            assert "Handwritten digits" in "".join(map(str, answers))
            assert "Start training" in session.rerun("train", "run=none")
        (new,) = [answer.new_session for answer in answers if answer.HasField("new_session")]
        assert new.config.toolbar_mode == new.config.MINIMAL
