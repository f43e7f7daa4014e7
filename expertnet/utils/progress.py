"""Callbacks of long-running work: one reports progress, the other says whether to stop."""

from collections.abc import Callable

Report = Callable[[str, float | None], object]  # the activity in words; the share done, 0 to 1, or None if unknown
ShouldStop = Callable[[], bool]  # called often


class Cancelled(Exception):
    """Raised when work stops on request. Nothing half done is left behind."""


def silent(activity: str, share: float | None = None) -> None:
    """Report nothing."""


def never() -> bool:
    """Return False: do not stop."""
    return False


def raise_if_cancelled(cancelled: ShouldStop) -> None:
    if cancelled():
        raise Cancelled
