"""The runtime that a web page needs."""

import hashlib
import io
import json
import shutil
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from expertnet.errors import RunError
from expertnet.transfer.snippets import RUNTIME
from expertnet.transfer.web_page import SHA256, VERSION, load_runtime


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path))


@pytest.mark.slow
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


@pytest.fixture
def registry():
    """An npm registry on this computer whose onnxruntime-web has the right name and version, and other files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        description = json.dumps({"name": RUNTIME, "version": VERSION}).encode()
        for name, content in {
            "package.json": description,
            **dict.fromkeys((f"dist/{name}" for name in SHA256), b"other"),
        }.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            dist = {"tarball": f"{url}/packed.tgz", "shasum": hashlib.sha1(packed.getvalue()).hexdigest()}
            versions = {VERSION: {"name": RUNTIME, "version": VERSION, "dist": dist}}
            about = {"name": RUNTIME, "dist-tags": {"latest": VERSION}, "versions": versions}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(packed.getvalue() if self.path.endswith(".tgz") else json.dumps(about).encode())

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield url
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
def test_other_files_than_those_of_the_version_are_refused(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry)
    monkeypatch.setenv("NPM_CONFIG_CACHE", str(tmp_path / "npm"))
    with pytest.raises(RunError, match=rf"npm delivered another ort\.\S+ than that of onnxruntime-web {VERSION}"):
        load_runtime()
    assert not [path for path in (tmp_path / "downloads").rglob("*") if path.is_file()]


def test_a_computer_without_npm_gets_a_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RunError, match="Install Node.js, which contains npm, or export as ONNX"):
        load_runtime()
