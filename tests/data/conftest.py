"""A folder for decoded images, one with images of two classes, and a local server."""

import http.server
import threading

import pytest

from expertnet.data.datasets import load_dataset
from expertnet.settings.schema import DataSettings
from tests.support.gray import image


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def folder(tmp_path):
    """Two classes in train (10 images each) and test (2 each). Every image has its own gray level."""
    for part, count, first in (("train", 10, 0), ("test", 2, 100)):
        for index, name in enumerate(("cat", "dog")):
            (tmp_path / "folder" / part / name).mkdir(parents=True)
            for number in range(count):
                path = tmp_path / "folder" / part / name / f"{number}.png"
                path.write_bytes(image(first + 50 * index + number))
    return tmp_path / "folder"


@pytest.fixture
def load(root):
    """Load a path at 8 pixels, without validation images."""

    def loaded(path, **settings):
        return load_dataset(DataSettings(dataset=str(path), image_size=8, validation_share=0, **settings), seed=0)

    return loaded


@pytest.fixture
def server(monkeypatch):
    """Serve `server.files`, and record the requested paths."""
    monkeypatch.setenv("no_proxy", "*")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requested.append(self.path)
            data = self.server.files.get(self.path)
            self.send_response(302 if self.path == "/moved" else 200 if data is not None else 404)
            self.send_header("Location", "http://[")  # no URL
            self.send_header("Content-Length", str(len(data or b"") + self.server.missing))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *args):
            """Log nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """Ignore clients that cancel."""

    with Server(("127.0.0.1", 0), Handler) as made:
        made.files, made.requested, made.missing = {}, [], 0
        made.url = f"http://127.0.0.1:{made.server_address[1]}"
        thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()
