"""Answers, refusals, limits and metrics of the service."""

import asyncio
import json
import struct
import threading
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import pytest
from fastapi import HTTPException, Request
from fastapi.testclient import TestClient
from threadpoolctl import threadpool_info, threadpool_limits

from expertnet.data.images import load_image
from expertnet.inference.predictor import Predictor
from expertnet.service.app import make_app
from expertnet.service.batches import Batcher
from expertnet.service.intake import BYTES, FORM, PIXELS, Gate, Limits
from tests.support.hostile.inputs import images
from tests.support.services import form, live, png
from tests.support.small import LIMIT, until

RAW = {"Content-Type": BYTES}


def in_form(*files):
    return [("images", (f"{number}.png", content)) for number, content in enumerate(files)]


def refused(response, status):
    """Check a refusal and return its sentence."""
    assert response.status_code == status, response.text
    (error,) = response.json().values()
    assert error.endswith(".") and "\n" not in error
    return error


def test_what_numpy_computes_for_a_batch_starts_no_threads_beside_those_of_the_service(served):
    def threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    def in_a_thread(work):  # that ends, since the limit of one that lives is kept
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work).result()

    before = in_a_thread(partial(threadpool_limits, 2, "blas"))
    try:
        with TestClient(make_app(served, threads=2, limits=Limits())):
            assert threads() == {1}
        assert threads() == {2}
    finally:
        in_a_thread(before.restore_original_limits)


def test_images_get_the_answers_of_the_network(served, client):
    files = [png("red"), png("white", (9, 30)), png("black")]
    expected = served.predictor.classify([load_image(each, 8) for each in files], 2)
    verdicts = served.novelty.verdicts(expected)
    start = client()
    answer = start.post("/predict?top=2", files=in_form(*files)).json()
    for found, expect, verdict in zip(answer["images"], expected, verdicts, strict=True):
        assert found["predictions"] == [
            {"label": each.label, "probability": pytest.approx(each.probability, abs=1e-5)}
            for each in expect.predictions
        ]
        assert found["routing"] == [pytest.approx(row, abs=1e-5) for row in expect.routing.tolist()]
        assert found["unlike"] == pytest.approx(vars(verdict))
    assert [found["file"] for found in answer["images"]] == ["0.png", "1.png", "2.png"]
    network = {"run": served.run.id, "checkpoint": "best", "epoch": served.predictor.epoch, "fingerprint": "a digest"}
    assert answer["network"] == network
    alone = start.post("/predict", content=files[1], headers=RAW).json()
    assert alone["images"][0]["file"] is None and len(alone["images"][0]["predictions"]) == 2
    assert alone["images"][0]["predictions"] == [
        {"label": each["label"], "probability": pytest.approx(each["probability"], abs=1e-5)}
        for each in answer["images"][1]["predictions"]
    ]
    assert 0 < alone["milliseconds"]["classify"] < alone["milliseconds"]["total"]


def test_a_calibrated_network_answers_with_both_probabilities(served, client):
    answers = []
    for temperature in (None, 2.0):
        start = client(replace(served, temperature=temperature))
        (image,) = start.post("/predict", content=png(), headers=RAW).json()["images"]
        answers.append(image["predictions"])
    plain, both = answers
    roots = [each["probability"] ** 0.5 for each in plain]
    expected = [
        {**each, "calibrated": pytest.approx(root / sum(roots))} for each, root in zip(plain, roots, strict=True)
    ]
    assert both == expected and len(both) == 2 and "calibrated" not in plain[0]


def test_the_name_of_a_file_in_a_form_may_be_in_any_encoding(client):
    headers = {"Content-Type": f"{FORM}; charset=utf-7; boundary=an-end"}  # in which +2AA- is half of a surrogate pair
    (image,) = client().post("/predict", content=form([("a+2AA-", png())]), headers=headers).json()["images"]
    assert image["file"] == "a"


def test_pixels_get_the_answers_of_their_images(client):
    start, files = client(), [png("red", (8, 8)), png("blue", (8, 8))]
    pixels = b"".join(load_image(each, 8).permute(1, 2, 0).contiguous().numpy().tobytes() for each in files)
    found = start.post("/predict", content=pixels, headers={"Content-Type": PIXELS}).json()["images"]
    expected = start.post("/predict", files=in_form(*files)).json()["images"]
    assert [each["file"] for each in found] == [None, None]
    for one, other in zip(found, expected, strict=True):
        assert one["predictions"] == other["predictions"] and one["routing"] == other["routing"]


def test_an_answer_says_if_it_is_unknown_what_the_training_images_are_like(served, client):
    start = client(replace(served, novelty=None))
    assert start.post("/predict", content=png(), headers=RAW).json()["images"][0]["unlike"] is None
    assert start.get("/about").json()["unlike"] is False


def huge():
    """A PNG that claims 64 million pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 8000, 8000, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return start + struct.pack(">I", 9) + b"IDAT" + bytes(13)


@pytest.mark.parametrize(
    ("request_", "status", "says"),
    [
        ({"content": b"no image", "headers": RAW}, 415, "not an image in a supported format"),
        ({"content": images()[0][:-40], "headers": {"Content-Type": "image/jpeg"}}, 422, "damaged"),
        ({"content": b""}, 422, "empty"),
        ({"content": huge(), "headers": RAW}, 413, "50 million pixels"),
        ({"data": {"images": "text"}}, 415, "application/x-www-form-urlencoded"),
        ({"content": b"x", "headers": {"Content-Type": FORM}}, 400, "boundary"),
        ({"content": b"x--x--", "headers": {"Content-Type": f"{FORM}; boundary=x"}}, 400, "nvalid multipart"),
        ({"files": {"images": (None, "text")}}, 422, "'images' is not expected. Send files"),
        ({"files": {"image": png()}}, 422, "'image' is not expected. Send files, in fields named 'images'"),
        ({"content": form([]), "headers": {"Content-Type": f"{FORM}; boundary=an-end"}}, 422, "no file in the form"),
        (
            {"content": form([("a", png())])[:-8], "headers": {"Content-Type": f"{FORM}; boundary=an-end"}},
            400,
            "breaks off",
        ),
        ({"files": in_form(png(), b"no image")}, 415, r"Image 2 \(1.png\): The file is not an image"),
        ({"files": in_form(*[png()] * 3)}, 413, "at most 2 images"),
        ({"content": bytes(3 * 192), "headers": {"Content-Type": PIXELS}}, 413, "at most 2 images"),
        ({"content": bytes(193), "headers": {"Content-Type": PIXELS}}, 422, "192 bytes. The body has 193, which"),
        ({"content": b"", "headers": {"Content-Type": PIXELS}}, 422, "The body has 0"),
        ({"content": png(), "headers": RAW, "params": {"top": 0}}, 422, "top: Input should be greater than or equal"),
        ({"content": bytes(70_000), "headers": RAW}, 413, "larger than 0 MiB"),
        ({"content": iter([bytes(40_000)] * 2), "headers": RAW}, 413, "larger than 0 MiB"),  # of unknown length
    ],
)
def test_a_bad_request_is_refused_with_the_reason(client, request_, status, says):
    start = client(limits=Limits(images=2, body=2**16))
    assert says.replace("\\", "") in refused(start.post("/predict", **request_), status)
    assert start.post("/predict", content=png(), headers=RAW).status_code == 200


def test_other_paths_and_methods_are_refused_in_json(client):
    start = client()
    for response, status in ((start.get("/nowhere"), 404), (start.get("/predict"), 405)):
        assert response.status_code == status and list(response.json()) == ["error"]


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


class Held(Predictor):
    """A network that waits until it is let go, and remembers its batches."""

    def __init__(self, source):
        super().__init__(source.model, source.settings, source.info, source.epoch)
        self.let_go, self.batches = threading.Event(), []

    def look(self, images):
        self.batches.append(len(images))
        assert self.let_go.wait(LIMIT)
        return super().look(images)


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


def test_concurrent_requests_get_their_own_answers_and_are_counted(served, client):
    held = Held(served.predictor)
    start = client(replace(served, predictor=held), threads=1)

    def post(top):
        return start.post(f"/predict?top={top}", content=png(), headers=RAW).json()["images"][0]["predictions"]

    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, 1)
        until(lambda: held.batches)
        others = [pool.submit(post, top) for top in (2, 1, 1000)]
        until(lambda: "expertnet_requests_inside 4.0" in start.get("/metrics").text)
        held.let_go.set()
        assert [len(each.result()) for each in (first, *others)] == [1, 2, 1, 2]
    assert held.batches[0] == 1 and sum(held.batches) == 4
    metrics = start.get("/metrics").text
    assert 'expertnet_requests_total{status="200"} 4.0' in metrics and "expertnet_images_total 4.0" in metrics
    assert "expertnet_batch_images_sum 4.0" in metrics


def test_free_threads_share_what_waits_and_a_busy_one_takes_it_together():
    held, sizes = threading.Event(), []

    def work(items):
        sizes.append(len(items))
        assert held.wait(LIMIT)
        if items[0] == "bad":
            raise ValueError("bad")
        return [item * 2 for item in items]

    async def run():
        with Batcher(work, 2) as batcher:
            first = asyncio.create_task(batcher([1, 2, 3]))  # two and one
            await asyncio.sleep(0)
            bad = asyncio.create_task(batcher(["bad"]))
            rest = asyncio.create_task(batcher([4, 5]))  # with the bad one, or alone
            gone = asyncio.create_task(batcher([6]))
            await asyncio.sleep(0)
            gone.cancel()
            held.set()
            with pytest.raises(ValueError, match="bad"):
                await bad
            return await first, await batcher([7]), await asyncio.gather(rest, return_exceptions=True)

    first, last, _ = asyncio.run(run())
    assert first == [2, 4, 6] and last == [14]
    assert sorted(sizes[:2]) == [1, 2] and sum(sizes) == 8


def test_a_failure_inside_is_named_and_the_next_request_is_answered(served, client):
    held = Held(served.predictor)
    held.let_go = None  # which fails
    start = client(replace(served, predictor=held), limits=Limits(requests=1))
    assert "log" in refused(start.post("/predict", content=png(), headers=RAW), 500)
    held.let_go = threading.Event()
    held.let_go.set()
    assert start.post("/predict", content=png(), headers=RAW).status_code == 200


def test_a_key_protects_what_the_network_says(client):
    start = client(key="a secret")
    for path in ("/health", "/ready", "/", "/openapi.json"):
        assert start.get(path).status_code == 200
    for headers in ({}, {"Authorization": "Bearer another"}, {"Authorization": "Basic a secret"}):
        for response in (
            start.get("/about", headers=headers),
            start.get("/metrics", headers=headers),
            start.post("/predict", content=b"", headers=headers),
            start.post("/predict?top=wrong", content=bytes(2**16), headers=headers),
        ):
            assert "API key" in refused(response, 401) and response.headers["WWW-Authenticate"] == "Bearer"
    good = {"Authorization": "Bearer a secret"}
    assert start.get("/about", headers=good).status_code == 200
    assert start.post("/predict", content=png(), headers=good | RAW).status_code == 200
    assert "HTTPBearer" in start.get("/openapi.json").json()["components"]["securitySchemes"]
    assert "a secret" not in start.get("/openapi.json").text


def test_pages_of_other_origins_and_other_host_names_are_kept_out(client):
    start = client(hosts=("127.0.0.1",), origins=("http://mine.example",))
    for path in ("/", "/about", "/health", "/openapi.json"):
        assert "127.0.0.1" in refused(start.get(path, headers={"Host": "evil.example"}), 400)
    for origin, allowed in (("http://mine.example", "http://mine.example"), ("http://evil.example", None)):
        assert start.get("/about", headers={"Origin": origin}).headers.get("Access-Control-Allow-Origin") == allowed


def test_the_page_of_a_run_escapes_its_name_and_runs_only_its_own_script(client):
    page = client().get("/docs")
    assert "&lt;b&gt;mine&lt;/b&gt; *x*" in page.text and "<b>mine" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "http" not in page.text.replace("http-equiv", "")  # it loads nothing from elsewhere
