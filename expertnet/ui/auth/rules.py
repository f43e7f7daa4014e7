"""Access rules from the sections [auth] and [access] of secrets.toml, without any knowledge of a browser."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from expertnet.errors import AccessError

Role = Literal["all", "look"]
LISTS = ("allow", "look")
SECRET_LENGTH = 32  # characters; a guessed secret lets anybody sign in as anybody


@dataclass(frozen=True)
class Rules:
    """The email addresses and "@domain" entries of the two lists, in lower case."""

    allow: frozenset[str]
    look: frozenset[str]

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """Return what a user with these claims of the login provider may do: "all", "look" (view only), or None.

        An entry for an email address overrides one for its domain, and `look` overrides `allow`.
        """
        email = claims.get("email")
        verified = claims.get("email_verified") in (True, "true")  # some providers send text
        if claims.get("is_logged_in") is not True or not verified or not isinstance(email, str):
            return None
        if not email.isascii():  # other alphabets have letters that look the same or fold to the same
            return None
        email = email.strip().casefold()
        name, _, domain = email.rpartition("@")
        for entry in (email, "@" + domain) if name else ():
            if entry in self.look:
                return "look"
            if entry in self.allow:
                return "all"
        return None


def rules(secrets: Mapping[str, Any]) -> Rules | None:
    """Return the rules of secrets.toml, or None if it asks for no login. Raises AccessError for rules that cannot be applied."""
    auth, access = secrets.get("auth"), secrets.get("access")
    if auth is None and access is None:
        return None
    if not isinstance(auth, Mapping) or not isinstance(access, Mapping):
        raise AccessError(
            "secrets.toml needs both sections: [auth], which names the login provider, and [access], which lists the users."
        )
    secret = auth.get("cookie_secret")
    if not isinstance(secret, str) or len(secret) < SECRET_LENGTH:
        raise AccessError(
            f"cookie_secret in [auth] of secrets.toml must be at least {SECRET_LENGTH} random characters."
        )
    if set(access) - set(LISTS):
        raise AccessError("[access] in secrets.toml accepts only the keys allow and look. Remove the others.")
    found = {name: frozenset(_entries(name, access.get(name, []))) for name in LISTS}
    if not any(found.values()):
        raise AccessError("[access] in secrets.toml lists no users. Add a list of email addresses as allow.")
    return Rules(**found)


def _entries(name: str, entries: Any) -> list[str]:
    """Return a list of [access] in lower case. Its error names the position only, because strangers read it."""
    if not isinstance(entries, list):
        raise AccessError(
            f'{name} in [access] of secrets.toml must be a list such as ["jo@example.org", "@example.org"].'
        )
    for position, entry in enumerate(entries, 1):
        is_entry = (
            isinstance(entry, str) and entry.isascii() and entry.count("@") == 1 and entry.partition("@")[2].strip()
        )
        if not is_entry:
            raise AccessError(
                f"Entry {position} of {name} in [access] of secrets.toml must be an email address, or @ and a domain."
            )
    return [entry.strip().casefold() for entry in entries]
