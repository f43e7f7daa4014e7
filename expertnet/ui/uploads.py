"""Limit what uploads hold in the memory of the server, however they are sent.

Streamlit keeps every upload in memory until its page is closed, and limits the size of each file only.
"""

import asyncio
import time
from collections import Counter
from typing import Any

import streamlit as st
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from expertnet.utils.memory import free_memory

BLOCK = 2**20  # bytes; each upload counts as a whole number of blocks, because small files also cost memory
SESSION_BLOCKS = 1026  # of one tab: one file of server.maxUploadSize in its envelope
ALL_BLOCKS = 2 * SESSION_BLOCKS
SPARE = 600 * BLOCK  # bytes that uploads leave free, for reading them and for training
IDLE, LONGEST = 60.0, 3600.0  # seconds without data, and of one upload

_receiving: Counter[str] = Counter()  # blocks of unfinished uploads, by session


async def limited(app: ASGIApp, scope: Scope, receive: Receive, send: Send, session: str) -> None:
    """Pass an upload to the app. Its answer is 413, 429 or 408 and a sentence if the limits are exceeded.

    The bytes are counted as they arrive, because a Content-Length may be missing or wrong.
    """
    received = reserved = 0
    end = time.monotonic() + LONGEST

    async def counted() -> Message:
        nonlocal received, reserved
        try:
            async with asyncio.timeout(min(IDLE, end - time.monotonic())):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "The upload was too slow. Try again.") from None
        received += len(message.get("body", b""))
        while reserved * BLOCK <= received:
            _refuse_if_full(session)
            _receiving[session] += 1
            reserved += 1
        return message

    try:
        await app(scope, counted, send)
    finally:
        _receiving[session] -= reserved
        if not _receiving[session]:
            del _receiving[session]


def _refuse_if_full(session: str) -> None:
    """Raise HTTPException if the session or the server cannot hold another block."""
    manager: Any = st.runtime.get_instance().uploaded_file_mgr
    sessions = list(manager.file_storage.items())
    held = {key: sum(len(file.data) // BLOCK + 1 for file in list(files.values())) for key, files in sessions}
    if held.get(session, 0) + _receiving[session] >= SESSION_BLOCKS:
        raise HTTPException(
            413, "The uploads of this page are larger than 1 GiB together. Reload the page to remove them."
        )
    free = free_memory() - _receiving.total() * BLOCK
    if sum(held.values()) + _receiving.total() >= ALL_BLOCKS or free < SPARE:
        raise HTTPException(429, "The server has no room for more uploads. Try again in a few minutes.")


def forget(*uploads: UploadedFile) -> None:
    """Free the memory of uploads that this session no longer needs."""
    context: Any = get_script_run_ctx()
    for upload in uploads:
        context.uploaded_file_mgr.remove_file(context.session_id, upload.file_id)
