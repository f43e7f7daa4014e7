"""The prediction service on the loopback interface, and hostile requests to it."""

import http.client
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from hypothesis import strategies as st
from PIL import Image

from expertnet.service.intake import BYTES, FORM, PIXELS
from expertnet.service.server import listen
from tests.support.hostile.inputs import MUTATIONS, images, mutated, outside
from tests.support.small import until

BOUNDARY = "an-end"
TYPES = (
    BYTES, "image/png", "image/", PIXELS, "IMAGE/JPEG; q=1", FORM, f"{FORM}; boundary=", f"{FORM}; boundary={BOUNDARY}",
    f"{FORM}; boundary={BOUNDARY}; charset=utf-16", f"{FORM}; boundary={'x' * 300}", "text/html", "", ";", "\xe9/\xff",
)  # fmt: skip
TOPS = (
    "1",
    "5",
    "1000",
    "0",
    "-1",
    "1001",
    "9" * 40,
    "1e3",
    "NaN",
    "%00",
    "%ff",
    "",
    "1&top=2",
    "\u0663".encode().hex(),
)
Hostile = tuple[str, str, bytes, int]  # query, content type, body, bytes that are announced but never come


def png(color: str = "red", size: tuple[int, int] = (12, 9), mode: str = "RGB") -> bytes:
    """Return an image file."""
    file = io.BytesIO()
    Image.new(mode, size, color).save(file, "PNG")
    return file.getvalue()


@contextmanager
def live(app: FastAPI) -> Iterator[str]:
    """Serve an app on a free port, in a thread, and yield its URL."""
    opened = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=server.run, args=([opened],))
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def form(parts: list[tuple[str, bytes]]) -> bytes:
    """Return a form of named files, whose names are not escaped."""
    lines = []
    for name, content in parts:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="{name}"\r\n\r\n'
        lines.append(head.encode("utf-8", "surrogatepass") + content + b"\r\n")
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


def hostile() -> st.SearchStrategy[Hostile]:
    """Generate requests to /predict: damaged images and forms, wrong types and parameters, bodies that break off."""
    file = st.one_of(st.binary(max_size=200), st.builds(mutated, st.sampled_from(images()), MUTATIONS))
    forms = st.lists(st.tuples(outside("/etc/hostname", "20200101-000000-abcd"), file), max_size=4).map(form)
    body = st.one_of(file, forms, st.builds(mutated, forms, MUTATIONS))
    missing = st.sampled_from((0, 0, 0, 0, 1, 10**6, 10**12))
    top = st.one_of(st.just("5"), st.sampled_from(TOPS))  # or few bodies would be read
    kind = st.one_of(st.sampled_from((BYTES, f"{FORM}; boundary={BOUNDARY}")), st.sampled_from(TYPES))
    return st.tuples(top, kind, body, missing)


def status(url: str, case: Hostile) -> int | None:
    """Return the HTTP status of a hostile request, or None if it broke off."""
    top, kind, body, missing = case
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
    try:
        connection.putrequest("POST", f"/predict?top={top}")
        connection.putheader("Content-Type", kind.encode("latin-1"))
        connection.putheader("Content-Length", str(len(body) + missing))
        connection.endheaders(body)
        return None if missing else connection.getresponse().status
    finally:
        connection.close()


def failures(metrics: str) -> int:
    """Return how many requests failed in the service, by its metrics."""
    lines = (line for line in metrics.splitlines() if line.startswith('expertnet_requests_total{status="5'))
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)
