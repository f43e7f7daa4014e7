"""An ASGI middleware that closes Streamlit's own URLs to users who may not sign in.

Streamlit checks no login for images, downloads, uploads and server metrics. If secrets.toml asks for a login, the gate reads
the login cookie and applies the access rules. It also answers at /signed-in (204 or 401), for a reverse proxy such as
nginx with auth_request.
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
SIGNED_IN = "/signed-in"


class Gate:
    """Pass a request to the app, unless its URL is closed and its login cookie has no role."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # pages use the WebSocket and have their own guard
            return await self.app(scope, receive, send)
        base = "/" + st.config.get_option("server.baseUrlPath").strip("/")
        path = scope["path"].removeprefix(base.rstrip("/"))
        if path != SIGNED_IN and not path.startswith(CLOSED):
            return await self.app(scope, receive, send)
        if not _may_enter(HTTPConnection(scope).cookies):
            return await PlainTextResponse("Sign in first.", 401)(scope, receive, send)
        if path == SIGNED_IN:
            return await PlainTextResponse("", 204)(scope, receive, send)
        return await self.app(scope, receive, send)


def _may_enter(cookies: dict[str, str]) -> bool:
    try:
        known = current_rules()
    except AccessError:
        return False
    return known is None or known.role(_claims(cookies)) is not None


def _claims(cookies: dict[str, str]) -> dict[str, Any]:
    """Return the claims in the cookie of Streamlit's login; empty if its signature is missing, forged or expired."""
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
