"""Read the images in the bodies of requests."""

import asyncio
from collections.abc import Callable

from fastapi import HTTPException, Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.types import Message

from expertnet.service.limits import Limits
from expertnet.utils.text import without_controls

FORM, BYTES = "multipart/form-data", "application/octet-stream"
PIXELS = (
    "application/x-rgb-pixels"  # of images of the network's size, one after another: rows of red, green and blue bytes
)
FIELD = "images"  # of a form
END = 512  # bytes, in which the last line of a form is found
File = tuple[str | None, bytes]  # name in a form, and content


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
            if name != FIELD:
                raise HTTPException(
                    422, f"The field {name[:100]!r} is not expected. Send files, in fields named {FIELD!r}."
                )
            if not isinstance(value, UploadFile):  # it is one by its `filename`, not by a `filename*` (RFC 7578)
                raise HTTPException(
                    422,
                    f"A field {FIELD!r} has no file. Send each image as a file with a `filename`. With curl, write @ before its path: "
                    f"-F {FIELD}=@image.png.",
                )
            files.append((without_controls(value.filename or ""), await value.read()))
    return files
