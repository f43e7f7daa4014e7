"""Who is let in, and what they may do: the rules of expertnet/access.py applied to pages, fragments and actions.

In this module: guard (before anything is drawn), badge (who is signed in), asked_page (what was asked for before the sign-in),
may_change, reserved (for buttons), changing (around what a button does), fragment (st.fragment that checks at every tick),
current_rules. A page's guard does not run for the ticks of a fragment or for the callbacks of widgets, and a right may end
while a page is open; so what changes something asks again where it is done, however its button was drawn.
"""

from __future__ import annotations

import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import streamlit as st

from expertnet.errors import AccessError
from expertnet.ui.auth.rules import Rules, rules
from expertnet.utils.text import escape

MAY_ONLY_LOOK = (
    "You may look at everything here, but not start, stop or delete; whoever runs this server can change that."
)
REMEMBERED = 1000  # browsers that are signing in

_closed = threading.Event()  # set for good once this server has asked for a login
_asked: OrderedDict[bytes, tuple[str, dict[str, str]]] = OrderedDict()  # browser -> page, query


def current_rules() -> Rules | None:
    """The rules of secrets.toml as it is now; None where everybody may do everything. Raises AccessError where nobody may come in.

    A file that is damaged, half written or gone opens nothing: Streamlit itself would read it as having no [auth].
    """
    try:
        found = rules(st.secrets.to_dict())
    except AccessError:
        _closed.set()
        raise
    except (OSError, ValueError) as error:  # Streamlit says that there is none in the same way as that it is damaged
        if any(Path(path).exists() for path in st.config.get_option("secrets.files")):
            _closed.set()
            raise AccessError("secrets.toml cannot be read, so nobody comes in until it is mended.") from error
        found = None
    if found is not None:
        _closed.set()
    elif _closed.is_set():
        raise AccessError(
            "[auth] has gone from secrets.toml. Put it back, or start the server anew to open it to everybody."
        )
    return found


def guard() -> None:
    """Ends the script, after saying why, for whoever may not come in."""
    try:
        known = current_rules()
    except AccessError as error:
        st.error(escape(str(error)), icon=":material/lock:")
        st.stop()
    claims = st.user.to_dict()
    if known is None or known.role(claims) is not None:
        return
    if claims.get("is_logged_in"):
        name = escape(str(claims.get("email") or "This account"))
        confirmed = claims.get("email_verified") in (True, "true")
        why = "is not among those who may come in" if confirmed else "has no address that its provider has confirmed"
        st.error(f"{name} {why}. Whoever runs this server can change that.", icon=":material/lock:")
        st.button("Sign out", icon=":material/logout:", on_click=st.logout, key="sign out")
    else:
        _sign_in()
    st.stop()


def _sign_in() -> None:
    st.info("Sign in to see this page.", icon=":material/lock:")
    if importlib.util.find_spec("authlib") is None:
        st.error("Signing in needs a package more: pip install -r requirements-login.txt", icon=":material/error:")
        return
    auth = st.secrets["auth"]
    named = [name for name, value in auth.items() if isinstance(value, Mapping) and "client_id" in value]

    def leave(provider: str | None) -> None:
        _remember()
        st.login(provider)

    for provider in named or [None]:
        label = f"Sign in with {escape(provider)}" if provider else "Sign in"
        st.button(
            label, icon=":material/login:", type="primary", on_click=leave, args=(provider,), key=f"sign in {provider}"
        )


def badge() -> None:
    """Who is signed in, and the way out; nothing where no login is asked for."""
    if current_rules() is None:
        return
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        role = "" if may_change() else " · may look only"
        st.caption(escape(str(st.user.get("email"))) + role, width="content")
        st.button("Sign out", type="tertiary", icon=":material/logout:", on_click=st.logout, key="sign out")


# --- what may be done ------------------------------------------------------------------------------------------------


def _role() -> str | None:
    try:
        known = current_rules()
    except AccessError:
        return None
    return "all" if known is None else known.role(st.user.to_dict())


def may_change() -> bool:
    return _role() == "all"


def reserved(**own: Any) -> dict[str, Any]:
    """Keywords of a button that changes something: its own `disabled` and `help`, or those for people who may only look."""
    return own if may_change() else own | {"disabled": True, "help": MAY_ONLY_LOOK}


@contextmanager
def changing() -> Iterator[None]:
    """Around whatever starts, stops, keeps or deletes something. Raises AccessError where the person may only look."""
    if not may_change():
        raise AccessError(MAY_ONLY_LOOK)
    yield


def fragment(panel: Callable[..., Any], *, run_every: float | None = None) -> Callable[..., Any]:
    """st.fragment, for whoever may still come in when it ticks; for others the page is drawn anew, which its guard ends."""

    @wraps(panel)
    def checked(*args: Any, **options: Any) -> Any:
        if _role() is None:
            st.rerun()
        return panel(*args, **options)

    return st.fragment(checked, run_every=run_every)


# --- back to the page that was asked for -----------------------------------------------------------------------------


def _browser() -> bytes | None:
    """What tells this browser from others: the token in Streamlit's cookie against forged requests, whose mask changes."""
    try:
        _, mask, masked, _ = st.context.cookies.get("_streamlit_xsrf", "").split("|")
        key, token = bytes.fromhex(mask), bytes.fromhex(masked)
        return bytes(byte ^ key[place % len(key)] for place, byte in enumerate(token)) or None
    except (ValueError, ZeroDivisionError):
        return None


def _remember() -> None:
    """Keeps the page of the sign-in, since the provider leads back to the first one."""
    browser = _browser()
    if browser is not None:
        _asked[browser] = ((st.context.url or "").rpartition("/")[2], dict(st.query_params))
        while len(_asked) > REMEMBERED:
            _asked.popitem(last=False)


def asked_page() -> tuple[str, dict[str, str]]:
    """The page (its name in the address) and query that this browser asked for before it signed in; once."""
    browser = _browser()
    return _asked.pop(browser, ("", {})) if browser is not None else ("", {})
