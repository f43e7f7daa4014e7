"""Who may come in and what they may do, by the sections [auth] and [access] of secrets.toml.

In this module: AccessError, Role, Rules (whom the lists name), rules (reads the sections). Nothing here knows of a browser.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from expertnet.errors import AccessError

Role = Literal["all", "look"]
LISTS = ("allow", "look")
SECRET_LENGTH = 32  # characters; whoever guesses the secret can sign in as anybody


@dataclass(frozen=True)
class Rules:
    allow: frozenset[str]
    look: frozenset[str]

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """What a person with these claims of the provider may do; None where they may not come in.

        An address counts for more than its domain, and a place among those who may only look for more than one among the others.
        """
        address = claims.get("email")
        verified = claims.get("email_verified") in (True, "true")  # some providers write it as a word
        if claims.get("is_logged_in") is not True or not verified or not isinstance(address, str):
            return None
        if not address.isascii():  # other alphabets hold letters that look or fold the same
            return None
        address = address.strip().casefold()
        person, _, domain = address.rpartition("@")
        for entry in (address, "@" + domain) if person else ():
            if entry in self.look:
                return "look"
            if entry in self.allow:
                return "all"
        return None


def rules(secrets: Mapping[str, Any]) -> Rules | None:
    """What secrets.toml says; None where it asks for no login. Raises AccessError for what cannot be kept to: that opens nothing."""
    auth, access = secrets.get("auth"), secrets.get("access")
    if auth is None and access is None:
        return None
    if not isinstance(auth, Mapping) or not isinstance(access, Mapping):
        raise AccessError(
            "secrets.toml needs both sections: [auth], which names the provider, and [access], which says who may come in."
        )
    secret = auth.get("cookie_secret")
    if not isinstance(secret, str) or len(secret) < SECRET_LENGTH:
        raise AccessError(
            f"cookie_secret in [auth] of secrets.toml has to be {SECRET_LENGTH} random characters or more."
        )
    if set(access) - set(LISTS):
        raise AccessError("[access] of secrets.toml takes allow and look, and nothing else.")
    found = {name: frozenset(_addresses(name, access.get(name, []))) for name in LISTS}
    if not any(found.values()):
        raise AccessError("[access] of secrets.toml names nobody; give allow a list of addresses.")
    return Rules(**found)


def _addresses(name: str, entries: Any) -> list[str]:
    if not isinstance(entries, list):
        raise AccessError(
            f'{name} in [access] of secrets.toml has to be a list such as ["jo@example.org", "@example.org"].'
        )
    for place, entry in enumerate(entries, 1):
        if (
            not isinstance(entry, str)
            or entry.count("@") != 1
            or not entry.isascii()
            or not entry.rpartition("@")[2].strip()
        ):
            raise AccessError(
                f"Entry {place} of {name} in [access] of secrets.toml is neither an address nor @ and a domain."
            )
    return [entry.strip().casefold() for entry in entries]
