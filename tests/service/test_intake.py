"""How many bodies and which are taken in at once, and what becomes of slow ones."""

import asyncio
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from fastapi import HTTPException, Request

from expertnet.service.app import make_app
from expertnet.service.intake import BYTES
from expertnet.service.limits import Gate, Limits
from tests.support.requests import RAW, Held, refused
from tests.support.services import live, png
from tests.support.small import until


def received(app, messages):
    """Return the status and the body of a request whose body comes in ASGI messages, and then never ends."""
    sent, waiting = [], iter(messages)

    async def receive():
        return next(waiting, None) or await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "http_version": "1.1"}
    headers = [(b"host", b"127.0.0.1"), (b"content-type", BYTES.encode())]
    asyncio.run(app(scope | {"headers": headers}, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])["error"]


def test_a_body_that_never_ends_or_breaks_off_frees_its_place(served):
    app = make_app(served, threads=1, limits=Limits(requests=1, seconds=0.01))
    part = {"type": "http.request", "body": b"x", "more_body": True}
    assert received(app, [part]) == (408, "The body did not arrive within 0.01 seconds.")
    assert received(app, [part, {"type": "http.disconnect"}])[0] == 400


def test_a_busy_service_says_when_to_try_again(served, client):
    held = Held(served.predictor)
    start = client(replace(served, predictor=held), limits=Limits(requests=1))

    def post():
        return start.post("/predict", content=png(), headers=RAW)

    assert start.get("/ready").json() == {"status": "ready"}
    with ThreadPoolExecutor() as pool:
        first = pool.submit(post)
        until(lambda: held.batches)
        for response, status in ((post(), 429), (start.get("/ready"), 503)):
            assert "busy" in refused(response, status) and response.headers["Retry-After"] == "1"
        assert start.get("/health").status_code == 200
        held.let_go.set()
        assert first.result().status_code == 200
    assert start.get("/ready").status_code == post().status_code == 200


def test_a_slow_body_takes_no_place_and_only_the_space_of_what_has_arrived(served):
    """One place, and space for a body and a half: half a body takes neither the place nor the space of the whole."""
    body, told = png(), []

    async def slow(address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"POST /predict HTTP/1.1\r\nHost: here\r\nConnection: close\r\n")
        writer.write(f"Content-Type: {BYTES}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2])
        await writer.drain()
        await asyncio.to_thread(until, lambda: "expertnet_requests_inside 1.0" in asked("metrics"))
        told.append(await asyncio.to_thread(asked, "predict", body))
        writer.write(body[len(body) // 2 :])
        told.append((await reader.read()).partition(b"\r\n\r\n")[2].decode())
        writer.close()

    def asked(path, content=None):
        with urllib.request.urlopen(urllib.request.Request(f"{url}/{path}", content, RAW)) as response:
            return response.read().decode()

    with live(make_app(served, threads=1, limits=Limits(requests=1, held=len(body) * 3 // 2))) as url:
        asyncio.run(slow(urlsplit(url).netloc.split(":")))
    assert all(json.loads(text)["images"][0]["predictions"] for text in told) and len(told) == 2


def test_bodies_together_have_a_limit(client):
    start = client(limits=Limits(body=1000, held=100))
    assert "busy" in refused(start.post("/predict", content=bytes(101), headers=RAW), 429)


def test_large_bodies_that_stall_leave_space_for_small_ones_and_the_refusal_names_their_bytes():
    size, gate = 2**20 - 1, Gate(Limits(body=2**20, held=2**22, small=2**10, kept=2**12))
    with ExitStack() as stack:
        large, small = (
            [stack.enter_context(gate.body(Request({"type": "http", "headers": []}))) for _ in range(4)] for _ in "ab"
        )
        for hold in large[:3]:
            hold(size)
        with pytest.raises(HTTPException) as refusal:
            large[3](size)
        assert refusal.value.status_code == 429 and "busy with 3 MiB" in refusal.value.detail
        large[3](size - 2**12)  # all but the space that is kept
        for hold in small:
            hold(2**10)
        with pytest.raises(HTTPException):
            small[0](1)  # no longer small
    assert gate.held == 0
