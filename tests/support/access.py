"""Users of a server with a login, and their visits."""

from tests.support import opening

SECRETS = {
    "auth": {"cookie_secret": "s" * 32, "redirect_uri": "http://localhost/oauth2callback"},
    "access": {"allow": ["boss@team.org"], "look": ["@team.org"]},
}
BOSS, GUEST, STRANGER = (
    {"is_logged_in": True, "email": email, "email_verified": True}
    for email in ("boss@team.org", "guest@team.org", "x@other.org")
)
OUT = {"is_logged_in": False}


def visit(page, user, secrets=SECRETS, test=None, **query):
    """A user's first visit to a page, through the navigation unless `test` says otherwise."""
    test = test or opening.new_session(page)
    test.secrets, test.user = secrets, user
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception, [error.value for error in test.exception]
    return test


def pressed(test, key, user=None):
    """Presses a button, as a tampered browser could even if it is disabled; as another user if one is given."""
    button = test.button(key=key)
    was_disabled, button.proto.disabled = button.proto.disabled, False
    if user is not None:
        test.user = user
    button.click().run()
    assert not test.exception, [error.value for error in test.exception]
    return was_disabled
