"""Let requests in, and read the images in their bodies, within limits."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import HTTPException, Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.types import Message

from expertnet.data.images import MAX_BYTES
from expertnet.utils.text import counted, without_controls

FORM, BYTES = "multipart/form-data", "application/octet-stream"
PIXELS = (
    "application/x-rgb-pixels"  # of images of the network's size, one after another: rows of red, green and blue bytes
)
FIELD = "images"  # of a form
END = 512  # bytes, in which the last line of a form is found
SOON = {"Retry-After": "1"}  # seconds
File = tuple[str | None, bytes]  # name in a form, and content


@dataclass(frozen=True)
class Limits:
    """What the service takes."""

    requests: int = 32  # at once
    images: int = 64  # in a request
    pixels: int = 100_000_000  # in the images of a request
    body: int = MAX_BYTES + 2**16  # bytes; a form is a little larger than its images
    held: int = 4 * (MAX_BYTES + 2**16)  # bytes of all requests at once
    small: int = 2**16  # bytes of a body for which space is kept
    kept: int = 2**24  # of the bytes held, for small bodies only
    seconds: float = 60  # for a body to arrive

    def refuse_many(self, images: int, pixels: int = 0) -> None:
        """Raise HTTPException with 413 if a request has too many images, or too many pixels in all of them."""
        if images > self.images:
            raise HTTPException(413, f"Send at most {counted(self.images, 'image')} in a request.")
        if pixels > self.pixels:
            raise HTTPException(
                413, f"The request has more than {self.pixels / 1e6:g} million pixels. Send smaller or fewer images."
            )


class Gate:
    """Counts the requests inside and the bytes of their bodies, for the event loop's thread."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.inside, self.held = limits, 0, 0

    @property
    def full(self) -> bool:
        return self.inside >= self.limits.requests

    @contextmanager
    def body(self, request: Request) -> Iterator[Callable[[int], None]]:
        """Yield a function that holds space for bytes that arrive. It and this raise HTTPException with 413 or 429.

        A body takes space as it arrives and no place before it is whole. Large bodies leave space for small ones, which are
        therefore answered while slow clients send large ones.
        """
        said, held = request.headers.get("content-length", ""), 0
        if said.isdecimal() and int(said) > self.limits.body:
            raise too_large(self.limits)
        self._refuse_if_full()

        def hold(size: int) -> None:
            nonlocal held
            if held + size > self.limits.body:
                raise too_large(self.limits)
            kept = self.limits.kept if held + size > self.limits.small else 0
            if self.held + size > self.limits.held - kept:
                raise _busy(f"{self.held / 2**20:.0f} MiB of requests")
            held, self.held = held + size, self.held + size

        try:
            yield hold
        finally:
            self.held -= held

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places for requests. Raises HTTPException with 429."""
        self._refuse_if_full()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def _refuse_if_full(self) -> None:
        if self.full:
            raise _busy(counted(self.inside, "request"))


def _busy(what: str) -> HTTPException:
    return HTTPException(429, f"The service is busy with {what}. Try again.", SOON)


def too_large(limits: Limits) -> HTTPException:
    return HTTPException(413, f"The request is larger than {limits.body // 2**20} MiB. Send smaller or fewer images.")


def media_type(request: Request) -> str:
    """Return the type of the body. Raises HTTPException with 415 if it is unknown."""
    kind = request.headers.get("content-type", BYTES).partition(";")[0].strip().lower()
    if kind not in (FORM, BYTES, PIXELS) and not kind.startswith("image/"):
        raise HTTPException(
            415, f"Send an image as {BYTES}, or images in a form as {FORM}. The request's type is {kind}."
        )
    return kind


async def read_files(request: Request, kind: str, limits: Limits, hold: Callable[[int], None]) -> list[File]:
    """Return the files of a form with their names, or the whole body without one. `hold` is what `Gate.body` yields.

    Raises HTTPException: 400 if the body is malformed or breaks off, 408 if it takes too long, 413 if it is too large or has
    too many images, 422 if there is no image.
    """
    end, last_line = b"", b""
    if kind == FORM:
        boundary = parse_options_header(request.headers.get("content-type"))[1].get(b"boundary", b"")
        last_line = b"--" + boundary + b"--"

    async def receive() -> Message:
        nonlocal end
        message = await request.receive()
        body = message.get("body", b"")
        hold(len(body))
        end = (end + body[-END:])[-END:]
        is_last = message["type"] == "http.request" and not message.get("more_body")
        if is_last and kind == FORM and last_line not in end:  # starlette would drop a part that breaks off
            raise MultiPartException(
                "The form breaks off: its last line must be the boundary between two pairs of hyphens."
            )
        return message

    counting = Request(request.scope, receive)
    try:
        async with asyncio.timeout(limits.seconds):
            files: list[File] = await _files_of_form(counting) if kind == FORM else [(None, await counting.body())]
    except TimeoutError:
        raise HTTPException(408, f"The body did not arrive within {limits.seconds:g} seconds.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The connection ended before the body had arrived.") from None
    if not files:
        raise HTTPException(422, "There is no file in the form. Add at least one image.")
    limits.refuse_many(images=len(files))
    return files


async def _files_of_form(request: Request) -> list[File]:
    files = list[File]()
    async with request.form() as form:  # raises HTTPException with 400
        for name, value in form.multi_items():
            if name != FIELD or not isinstance(value, UploadFile):
                raise HTTPException(
                    422, f"The field {name[:100]!r} is not expected. Send files, in fields named {FIELD!r}."
                )
            files.append((without_controls(value.filename or ""), await value.read()))
    return files
