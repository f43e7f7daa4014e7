"""Uploads are limited together and for each page, whatever they say about their length and however slowly they come."""

import asyncio
import sys

import pytest
from starlette.exceptions import HTTPException

from expertnet.ui import uploads
from tests.support.doors import END, START, uploading
from tests.support.served import ROOT, running_server

pytestmark = pytest.mark.slow
MIB = 2**20
# The studio with limits that a test can reach: 3 MiB for a page, 5 MiB for all, half a second without data
SERVER = """
import runpy, sys
from expertnet.ui import uploads
uploads.SESSION_BLOCKS, uploads.ALL_BLOCKS, uploads.IDLE = 3, 5, 0.5
sys.argv = ["streamlit", "run", "app.py", f"--server.port={sys.argv[1]}"]
runpy.run_module("streamlit", run_name="__main__")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, shared_data):
    folder = tmp_path_factory.mktemp("uploads")
    environment = {"EXPERTNET_RUNS": str(folder / "runs"), "EXPERTNET_DATA": str(shared_data)}
    with running_server(
        lambda port: [sys.executable, "-c", SERVER, str(port)], folder / "server.log", cwd=ROOT, environment=environment
    ) as url:
        yield url


def mib(count):
    return [bytes(MIB)] * count


def test_a_page_and_the_server_hold_only_so_much(server):
    size = len(START) + len(END)
    with uploading(server) as first, uploading(server) as second:
        status, text = first.put([b"some"], 1000)
        assert status == 408 and text.startswith("The upload was too slow")
        assert first.put(mib(4))[0] == 413  # in chunks, without a length
        assert first.put(mib(4), 4 * MIB + size)[0] == 413
        assert [first.put([text])[0] for text in (b"1", b"2", b"3")] == [204] * 3  # what was refused is not held
        status, text = first.put([b"4"])
        assert status == 413 and text.startswith("The uploads of this page") and text.endswith(".")
        assert second.put(mib(1), MIB + size)[0] == 204
        status, text = second.put([b"5"])
        assert status == 429 and text.startswith("The server has no room") and text.endswith(".")


def test_an_upload_that_never_ends_is_ended(monkeypatch):
    async def app(scope, receive, send):
        while True:
            await receive()

    async def receive():
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"", "more_body": True}

    monkeypatch.setattr(uploads, "LONGEST", 0)
    with pytest.raises(HTTPException) as ended:
        asyncio.run(uploads.limited(app, {}, receive, receive, "a page"))
    assert ended.value.status_code == 408
