"""A tab that is closed while the server sends to it ends without a traceback in the terminal."""

import asyncio
from contextlib import suppress

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect

from expertnet.ui.auth.middleware import Gate

SCOPE = {"type": "websocket", "path": "/_stcore/stream", "headers": [(b"host", b"127.0.0.1")]}


def test_a_tab_that_is_gone_while_the_server_sends_looks_like_one_that_was_closed():
    messages = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}])

    async def receive():
        return next(messages)

    async def send(message):
        if message["type"] == "websocket.send":
            raise OSError  # as uvicorn does for a client that is gone

    async def page(scope, receive, send):
        """Do as Streamlit does, whose endpoint expects this error alone."""
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        with suppress(WebSocketDisconnect):
            await socket.send_bytes(b"a chart")
        with pytest.raises(WebSocketDisconnect):
            await socket.receive_bytes()

    asyncio.run(Gate(page)(SCOPE, receive, send))
