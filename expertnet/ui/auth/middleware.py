"""An ASGI middleware in front of everything that the server answers.

It refuses host names that are not the server's own, answers the route of uploads to datasets, limits other uploads, and closes
Streamlit's own URLs to users who may not sign in, because Streamlit checks no login for images, downloads, uploads and server
metrics. It also answers at /signed-in (204 or 401), for a reverse proxy such as nginx with auth_request.
"""

import json
import re
from contextlib import suppress
from typing import Any

import streamlit as st
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from expertnet.errors import AccessError
from expertnet.ui.auth.login import VIEW_ONLY, current_rules
from expertnet.ui.auth.rules import Role
from expertnet.ui.data import receiver
from expertnet.ui.uploads import limited
from expertnet.utils.text import cut, printable

HEALTH = "/_stcore/health"  # for probes, which know no host name
UPLOADS = "/_stcore/upload_file/"
CLOSED = ("/media/", UPLOADS, "/_stcore/metrics", "/_stcore/agent/")
SIGNED_IN = "/signed-in"


class Gate:
    """Pass a request to the app, unless its host is foreign, or its URL is closed and its login cookie has no role."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        request = HTTPConnection(scope)
        base = "/" + st.config.get_option("server.baseUrlPath").strip("/")
        path = scope["path"].removeprefix(base.rstrip("/"))
        host = request.headers.get("host")
        if path != HEALTH and not is_host_allowed(host):
            return await PlainTextResponse(_foreign(host or ""), 403)(scope, receive, send)
        if scope["type"] == "websocket":  # pages have their own guard

            async def send_if_open(message: Message) -> None:
                with suppress(
                    OSError
                ):  # of a tab that was closed; Streamlit would take the next error for a text frame
                    await send(message)

            return await self.app(scope, receive, send_if_open)
        if path == SIGNED_IN or path.startswith(CLOSED):
            if _role(request.cookies) is None:
                return await PlainTextResponse("Sign in first.", 401)(scope, receive, send)
            if path == SIGNED_IN:
                return await PlainTextResponse("", 204)(scope, receive, send)
        if path.startswith(receiver.ROUTE):
            role = _role(request.cookies)
            if role != "all":
                refused = "Sign in first." if role is None else VIEW_ONLY
                return await JSONResponse({"error": refused}, 403 if role else 401)(scope, receive, send)
            return await receiver.answer(scope, receive, send, path)
        if path.startswith(UPLOADS) and scope["method"] == "PUT":
            return await limited(self.app, scope, receive, send, path.removeprefix(UPLOADS).partition("/")[0])
        return await self.app(scope, receive, send)


def _foreign(host: str) -> str:
    name = cut(printable(re.sub(r":\d*$", "", host).strip("[]")), 100)  # an IPv6 address is allowed without brackets
    return (
        f"This server does not answer to the host name {name}. If the name is its own, start it with "
        f"`expertnet serve --allowed-host {name}`, or set STREAMLIT_SERVER_ALLOWED_HOSTS (docs/deploy.md)."
    )


def _role(cookies: dict[str, str]) -> Role | None:
    try:
        known = current_rules()
    except AccessError:
        return None
    return "all" if known is None else known.role(_claims(cookies))


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
