"""Send files to the server's route for uploads as a browser does: many at once, and only what is missing."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.own import framed

HEADERS = {"x-expertnet-upload": "1"}
AT_ONCE = 64  # files in a request
Ask = Callable[[str, str, bytes], Any]  # method, path, body -> the answer, read as JSON


def pieces(files: list[tuple[str, bytes]], known: set[str], label: str = "") -> Iterator[bytes]:
    """Yield the bodies of the requests that send all files but the known ones."""
    left = [(number, path, data) for number, (path, data) in enumerate(files) if path not in known]
    for start in range(0, len(left), AT_ONCE):
        some = left[start : start + AT_ONCE]
        yield b"".join(framed(path, data, label=label, number=number) for number, path, data in some)


def send(ask: Ask, upload: str, files: list[tuple[str, bytes]], label: str = "") -> Any:
    """Send files by path to an upload such as "flowers/1a2b" and end it. Returns the answer."""
    before = ask("GET", f"/upload/{upload}", b"")
    for body in pieces(files, set(before["files"]), label):
        ask("POST", f"/upload/{upload}", body)
    return ask("POST", f"/upload/{upload}/finish", b"")


def through(client: Any) -> Ask:
    """Return what asks the server behind a client of httpx, which raises an error for what is refused."""

    def ask(method: str, path: str, body: bytes) -> Any:
        answer = client.request(method, path, content=body, headers=HEADERS)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.content)

    return ask
