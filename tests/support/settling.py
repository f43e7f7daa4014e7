"""Pages whose background tasks have ended, and the text that they show."""

import threading

from tests.support.small import LIMIT


def join_tasks():
    for thread in threading.enumerate():
        if thread.name == "task":
            thread.join(LIMIT)


def settled(test):
    """The page after its tasks have ended, each of which may start another."""
    for _ in range(3):
        join_tasks()
        test.run()
    assert not test.exception, [error.value for error in test.exception]
    return test


def shown_text(test):
    """The text of the page, without escapes."""
    shown = (*test.markdown, *test.caption, *test.info, *test.warning, *test.error)
    return " ".join(part.value for part in shown).replace("\\", "")
