"""The access rules applied to pages, fragments and actions.

A page's guard does not run for fragment ticks or widget callbacks, and a user's role may change while a page is open.
Every action therefore checks the role again, even if its button was drawn for somebody who had it.
"""

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
from expertnet.ui.auth.rules import Role, Rules, rules
from expertnet.utils.text import escape

VIEW_ONLY = "You have view-only access. To start, stop or delete runs, ask the administrator of this server."
REMEMBERED = 1000  # browsers that are signing in

login_required = threading.Event()  # set when this server first asks for a login, and never cleared
_asked: OrderedDict[bytes, tuple[str, dict[str, str]]] = OrderedDict()  # browser -> page, query


def current_rules() -> Rules | None:
    """Return the rules of secrets.toml as it is now, or None if everybody may do everything. Raises AccessError otherwise.

    A damaged, half-written or deleted file must not open the server: Streamlit itself would read it as having no [auth].
    """
    try:
        found = rules(st.secrets.to_dict())
    except AccessError:
        login_required.set()
        raise
    except (OSError, ValueError) as error:  # Streamlit raises the same error for a missing file and a damaged one
        if any(Path(path).exists() for path in st.config.get_option("secrets.files")):
            login_required.set()
            raise AccessError(
                "secrets.toml cannot be read. The server is closed until the file is repaired."
            ) from error
        found = None
    if found is not None:
        login_required.set()
    elif login_required.is_set():
        raise AccessError(
            "[auth] is missing from secrets.toml. Put it back, or restart the server to open it to everybody."
        )
    return found


def guard() -> None:
    """End the script with a message for users who may not see the page."""
    try:
        known = current_rules()
    except AccessError as error:
        st.error(escape(str(error)), icon=":material/lock:")
        st.stop()
    claims = st.user.to_dict()
    if known is None or known.role(claims) is not None:
        return
    if claims.get("is_logged_in"):
        email = escape(str(claims.get("email") or "This account"))
        verified = claims.get("email_verified") in (True, "true")
        why = "has no access to this server" if verified else "has no email address that its provider has verified"
        st.error(f"{email} {why}. Ask the administrator of this server for access.", icon=":material/lock:")
        st.button("Sign out", icon=":material/logout:", on_click=st.logout, key="sign out")
    else:
        _sign_in()
    st.stop()


def _sign_in() -> None:
    st.info("Sign in to see this page.", icon=":material/lock:")
    if importlib.util.find_spec("authlib") is None:
        st.error("Signing in needs another package: `python -m pip install 'streamlit[auth]'`", icon=":material/error:")
        return
    auth = st.secrets["auth"]
    named = [name for name, value in auth.items() if isinstance(value, Mapping) and "client_id" in value]

    def leave(provider: str | None) -> None:
        _remember_page()
        st.login(provider)

    for provider in named or [None]:
        label = f"Sign in with {escape(provider)}" if provider else "Sign in"
        st.button(
            label, icon=":material/login:", type="primary", on_click=leave, args=(provider,), key=f"sign in {provider}"
        )


def badge() -> None:
    """Show who is signed in, with a button to sign out. Shows nothing if no login is required."""
    if current_rules() is None:
        return
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        role = "" if may_change() else " · view only"
        st.caption(escape(str(st.user.get("email"))) + role, width="content")
        st.button("Sign out", type="tertiary", icon=":material/logout:", on_click=st.logout, key="sign out")


# --- actions ---------------------------------------------------------------------------------------------------------


def _role() -> Role | None:
    try:
        known = current_rules()
    except AccessError:
        return None
    return "all" if known is None else known.role(st.user.to_dict())


def may_change() -> bool:
    """Return whether the user may start, stop and delete runs now."""
    return _role() == "all"


def reserved(**own: Any) -> dict[str, Any]:
    """Return the keyword arguments of a button that changes something: its own, or disabled with a reason for view-only users."""
    return own if may_change() else own | {"disabled": True, "help": VIEW_ONLY}


@contextmanager
def changing() -> Iterator[None]:
    """Enclose code that starts, stops, saves or deletes something. Raises AccessError for view-only users."""
    if not may_change():
        raise AccessError(VIEW_ONLY)
    yield


def fragment(panel: Callable[..., Any], *, run_every: float | None = None) -> Callable[..., Any]:
    """Return st.fragment(panel), which reruns the page, and so its guard, at a tick of a user who has lost access."""

    @wraps(panel)
    def checked(*args: Any, **options: Any) -> Any:
        if _role() is None:
            st.rerun()
        return panel(*args, **options)

    return st.fragment(checked, run_every=run_every)


# --- back to the requested page --------------------------------------------------------------------------------------


def _browser() -> bytes | None:
    """Return what identifies this browser: the token in Streamlit's XSRF cookie, whose mask changes at every request."""
    try:
        _, mask, masked, _ = st.context.cookies.get("_streamlit_xsrf", "").split("|")
        key, token = bytes.fromhex(mask), bytes.fromhex(masked)
        return bytes(byte ^ key[place % len(key)] for place, byte in enumerate(token)) or None
    except (ValueError, ZeroDivisionError):
        return None


def _remember_page() -> None:
    """Remember the requested page, because the provider always returns to the first one."""
    browser = _browser()
    if browser is not None:
        _asked[browser] = ((st.context.url or "").rpartition("/")[2], dict(st.query_params))
        while len(_asked) > REMEMBERED:
            _asked.popitem(last=False)


def asked_page() -> tuple[str, dict[str, str]]:
    """Return, once, the page name and query that this browser requested before it signed in; empty if there are none."""
    browser = _browser()
    return _asked.pop(browser, ("", {})) if browser is not None else ("", {})
