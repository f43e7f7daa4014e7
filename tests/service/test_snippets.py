"""Code that the studio offers for the service of a run, executed as it is."""

import shutil
import subprocess
import sys

import pytest

from expertnet.data.images import load_image
from expertnet.service import snippets
from expertnet.service.app import make_app
from expertnet.service.limits import Limits
from expertnet.service.server import KEY
from tests.support.services import live, png


@pytest.fixture(params=["", "a key"])
def url(request, served, monkeypatch):
    """The service, without a key or with the one that the environment has."""
    monkeypatch.delenv(KEY, raising=False)
    if request.param:
        monkeypatch.setenv(KEY, request.param)
    with live(make_app(served, threads=1, limits=Limits(), key=request.param)) as url:
        yield url


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}")


@pytest.fixture
def predictions(served, tmp_path):
    """What the network says about image.png, which is there."""
    (tmp_path / "image.png").write_bytes(png())
    return served.predictor.classify([load_image(png(), 8)], 3)[0].predictions


def printed(words, folder, shell=False):
    done = subprocess.run(words, shell=shell, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("program", "write", "name"),
    [
        (sys.executable, snippets.python, "classify.py"),
        pytest.param("node", snippets.javascript, "classify.mjs", marks=needs("node")),
    ],
)
def test_a_script_classifies_an_image(served, url, tmp_path, predictions, program, write, name):
    (tmp_path / name).write_text(write(served.run, url))
    expected = [f"{each.label}: {each.probability:.1%}" for each in predictions]
    assert printed([program, name, "image.png"], tmp_path).splitlines() == expected


@pytest.mark.parametrize(
    ("program", "write", "name"),
    [
        (sys.executable, snippets.python, "classify.py"),
        pytest.param("node", snippets.javascript, "classify.mjs", marks=needs("node")),
    ],
)
def test_a_script_prints_why_a_file_was_refused(served, url, tmp_path, program, write, name):
    (tmp_path / name).write_text(write(served.run, url))
    (tmp_path / "image.png").write_text("no image")
    done = subprocess.run([program, name, "image.png"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "The file is not an image in a supported format" in done.stderr
    assert program != sys.executable or "Traceback" not in done.stderr


@needs("curl")
def test_curl_classifies_an_image(url, tmp_path, predictions):
    assert f'"label":"{predictions[0].label}"' in printed(snippets.curl(url), tmp_path, shell=True)
