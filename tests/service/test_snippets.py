"""Code that the studio offers for the service of a run, executed as it is."""

import shutil
import subprocess
import sys

import pytest

from expertnet.data.images import load_image
from expertnet.service import snippets
from expertnet.service.app import make_app
from expertnet.service.intake import Limits
from tests.support.services import live, png


@pytest.fixture(scope="module")
def url(served):
    with live(make_app(served, threads=1, limits=Limits())) as url:
        yield url


def test_each_snippet_classifies_an_image(served, url, tmp_path):
    (tmp_path / "image.png").write_bytes(png())
    (answer,) = served.predictor.classify([load_image(png(), 8)], 3)
    expected = [f"{each.label}: {each.probability:.1%}" for each in answer.predictions]
    (tmp_path / "classify.py").write_text(snippets.python(served.run, url))
    (tmp_path / "classify.mjs").write_text(snippets.javascript(served.run, url))
    commands = {"python": [sys.executable, "classify.py", "image.png"], "node": ["node", "classify.mjs", "image.png"]}
    for name, words in commands.items():
        if name == "node" and shutil.which("node") is None:
            continue
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stdout.splitlines() == expected, done.stderr
    if shutil.which("curl") is None:
        return
    done = subprocess.run(snippets.curl(url), shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f'"label":"{answer.predictions[0].label}"' in done.stdout, done.stderr
