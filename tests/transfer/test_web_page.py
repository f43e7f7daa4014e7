"""The runtime that a web page needs."""

import shutil

import pytest

from expertnet.errors import RunError
from expertnet.transfer.web_page import load_runtime


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path))


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
def test_a_runtime_that_cannot_be_downloaded_gets_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    monkeypatch.setenv("NPM_CONFIG_FETCH_RETRIES", "0")
    monkeypatch.setenv("NPM_CONFIG_CACHE", str(tmp_path / "npm"))
    with pytest.raises(
        RunError, match=r"onnxruntime-web \(33 MB\), which npm could not download \(ECONNREFUSED\)\. Check"
    ):
        load_runtime()
    assert not list(tmp_path.glob("downloads/.runtime-*"))


def test_a_computer_without_npm_gets_a_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RunError, match="Install Node.js, which contains npm, or export as ONNX"):
        load_runtime()
