"""The runtime that a web page needs."""

import pytest

from expertnet.errors import RunError
from expertnet.transfer import web_page


def test_a_runtime_that_cannot_be_downloaded_gets_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path))
    monkeypatch.setattr(web_page, "URL", "http://127.0.0.1:9/runtime.tgz")
    with pytest.raises(
        RunError, match=r"onnxruntime-web \(33 MB\), which could not be downloaded \(127.0.0.1: .*\)\. Check"
    ):
        web_page.load_runtime()
