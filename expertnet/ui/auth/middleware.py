"""Streamlit's own addresses beside the pages, closed to those who may not come in.

In this module: Gate (an ASGI middleware; serve.py puts it before the app). Streamlit checks no login where images and
downloads are fetched, files are sent and figures of the server are read. Where secrets.toml asks for a login, the gate looks
there for the cookie that the login has left, and at the rules; and says at /signed-in whether they let its sender in, which
a proxy may ask (nginx's auth_request).
"""

from __future__ import annotations

import json
from typing import Any

import streamlit as st
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from expertnet.errors import AccessError
from expertnet.ui.auth.login import current_rules

CLOSED = ("/media/", "/_stcore/upload_file/", "/_stcore/metrics", "/_stcore/agent/")
QUESTION = "/signed-in"


class Gate:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the pages come through the WebSocket, and have a guard of their own
            return await self.app(scope, receive, send)
        base = "/" + st.config.get_option("server.baseUrlPath").strip("/")
        path = scope["path"].removeprefix(base.rstrip("/"))
        if path != QUESTION and not path.startswith(CLOSED):
            return await self.app(scope, receive, send)
        if not _comes_in(HTTPConnection(scope).cookies):
            return await PlainTextResponse("Sign in first.", 401)(scope, receive, send)
        if path == QUESTION:
            return await PlainTextResponse("", 204)(scope, receive, send)
        return await self.app(scope, receive, send)


def _comes_in(cookies: dict[str, str]) -> bool:
    try:
        known = current_rules()
        return known is None or known.role(_claims(cookies)) is not None
    except AccessError:
        return False


def _claims(cookies: dict[str, str]) -> dict[str, Any]:
    """What Streamlit's login has written into its signed cookie; nothing where the signature is not its own or has run out."""
    from streamlit.auth_util import get_cookie_with_chunks, get_signing_secret
    from streamlit.web.server.server_util import AUTH_COOKIE_NAME
    from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value

    def read(name: str) -> bytes | None:
        value = cookies.get(name)
        return None if value is None else decode_signed_value(get_signing_secret(), name, value.encode("latin-1"))

    try:
        found = json.loads(get_cookie_with_chunks(read, AUTH_COOKIE_NAME) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
