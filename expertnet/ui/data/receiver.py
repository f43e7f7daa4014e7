"""The server's own route for uploads, which writes any number of files to the disk in pieces. Streamlit keeps uploads in memory.

    GET  /upload/DATASET/ID          begins an upload, and says what has arrived of it, so that only the rest is sent
    POST /upload/DATASET/ID          pieces of files (data/own/pieces.py)
    POST /upload/DATASET/ID/finish   makes a version of all that has arrived, and answers with a sentence
    POST /upload/DATASET/ID/stop     says that no more comes for now

The gate lets only users through who may make changes, and only requests with a header that no foreign page can send.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from expertnet.data.own.added import Outcome
from expertnet.data.own.intake import finish
from expertnet.data.own.pieces import MOST, arrived, receive
from expertnet.data.own.uploads import Upload, UploadGoneError, begin_upload
from expertnet.errors import UserError
from expertnet.utils.files import os_error_sentence

ROUTE = "/upload/"
HEADER = (
    "x-expertnet-upload"  # makes a browser ask first, and the server never agrees, before a foreign page may send it
)
IDLE, LONGEST = 60.0, 900.0  # seconds without data, and of one request
LIVELY = 5.0  # seconds between signs of life
READING, WORKING = 8, 2  # requests at once: each holds its pieces in memory, and the processor
REMEMBERED = 100  # results

_results: OrderedDict[Upload, Outcome] = OrderedDict()
_reading, _working = asyncio.Semaphore(READING), asyncio.Semaphore(WORKING)


def result_of(dataset: str, name: str) -> Outcome | None:
    """Return what became of an upload that has ended, by its id."""
    return _results.get(Upload(dataset, name))


async def answer(scope: Scope, receive_message: Receive, send: Send, path: str) -> None:
    """Answer a request to the route, whose path is given without the base of the server."""
    read = asyncio.Event()
    task = asyncio.ensure_future(_answered(Request(scope, receive_message), path, read))
    waits = asyncio.ensure_future(read.wait())  # a response that begins earlier would take pieces of the body
    await asyncio.wait([task, waits], return_when=asyncio.FIRST_COMPLETED)
    waits.cancel()
    await asyncio.wait([task], timeout=2 * LIVELY)
    response: Response = JSONResponse(*task.result()) if task.done() else StreamingResponse(_spaces(task))
    await response(scope, receive_message, send)


async def _spaces(task: asyncio.Future[tuple[Any, int]]) -> AsyncIterator[bytes]:
    """Yield spaces, which JSON may begin with, until the answer is known: web servers give up on silent ones."""
    while not task.done():
        yield b" "
        await asyncio.wait([task], timeout=2 * LIVELY)
    yield bytes(JSONResponse(task.result()[0]).body)


async def _answered(request: Request, path: str, read: asyncio.Event) -> tuple[Any, int]:
    """Return the answer and its status."""
    try:
        return await _done(request, path, read), 200
    except HTTPException as error:
        return {"error": error.detail}, error.status_code
    except ClientDisconnect:
        return {"error": "The connection is lost."}, 400
    except UserError as error:
        return {"error": str(error)}, 409
    except OSError as error:
        return {"error": os_error_sentence(error)}, 507


async def _done(request: Request, path: str, read: asyncio.Event) -> Any:
    match = re.fullmatch(r"/upload/([a-z0-9-]{1,60})/([0-9a-z]{1,64})(/finish|/stop)?", path)
    if not match or request.headers.get(HEADER) != "1":
        raise HTTPException(404, "There is no such upload. Reload the page.")
    upload, ending = Upload(match[1], match[2]), match[3]
    if request.method == "GET" and not ending:
        await asyncio.to_thread(begin_upload, *match.groups()[:2])
        return await asyncio.to_thread(arrived, upload)
    if request.method != "POST":
        raise HTTPException(405, "Reload the page and upload the files again.")
    if ending:
        read.set()
        if ending == "/stop":
            return await asyncio.to_thread(upload.rest)
        return {"sentence": (await _working_on(upload, asyncio.to_thread(_finish, upload))).sentence}
    async with _reading:
        body = await _body(request, upload)
        read.set()
        await _working_on(upload, asyncio.to_thread(receive, upload, body))
    return {}


def _finish(upload: Upload) -> Outcome:
    try:
        _results[upload] = finish(upload).outcome
    except UploadGoneError:
        if upload not in _results:  # or the answer to the same request was lost
            raise
    while len(_results) > REMEMBERED:
        _results.popitem(last=False)
    return _results[upload]


async def _working_on(upload: Upload, work: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of work in a thread, and show meanwhile that the upload is under way."""
    async with _working:
        task = asyncio.ensure_future(work)
        while not (await asyncio.wait([task], timeout=LIVELY))[0]:
            with suppress(UserError):  # it may just have ended
                upload.touch()
        return task.result()


async def _body(request: Request, upload: Upload) -> bytes:
    """Return the body. Raises HTTPException if it is too large or too slow, and UploadGoneError."""
    body, stream, loop = bytearray(), request.stream(), asyncio.get_running_loop()
    end, lively = loop.time() + LONGEST, 0.0
    while True:
        try:
            async with asyncio.timeout(min(IDLE, end - loop.time())):
                body += await anext(stream)
        except StopAsyncIteration:
            return bytes(body)
        except TimeoutError:
            raise HTTPException(408, "The upload was too slow. Try again.") from None
        if len(body) > MOST:
            raise HTTPException(413, "Too much was sent at once. Reload the page and upload the files again.")
        if loop.time() - lively > LIVELY:
            upload.touch()
            lively = loop.time()
