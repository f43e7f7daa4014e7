"""What long work on data tells its caller, and how it ends early.

In this module: DatasetError, Cancelled, Report and ShouldStop (the two callbacks), silent and never (their defaults), check.
"""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, float | None], None]  # the activity in words, and the share done (0 to 1), None where unknown
ShouldStop = Callable[[], bool]  # whether the work is asked to stop; called often


class Cancelled(Exception):
    """The work was asked to stop, and has left nothing half done."""


def silent(activity: str, share: float | None = None) -> None:
    """Reports to nobody."""


def never() -> bool:
    """Is never asked to stop."""
    return False


def raise_if_cancelled(cancelled: ShouldStop) -> None:
    """Raises Cancelled where the work is asked to stop."""
    if cancelled():
        raise Cancelled
