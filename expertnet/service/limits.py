"""What the service takes at once: requests, images, pixels and bytes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import HTTPException, Request

from expertnet.data.images import MAX_BYTES
from expertnet.utils.text import counted

SOON = {"Retry-After": "1"}  # seconds


@dataclass(frozen=True)
class Limits:
    """What the service takes."""

    requests: int = 32  # at once
    images: int = 64  # in a request
    pixels: int = 100_000_000  # in the images of a request
    body: int = MAX_BYTES + 2**16  # bytes; a form is a little larger than its images
    held: int = 4 * (MAX_BYTES + 2**16)  # bytes of all requests at once
    small: int = 2**16  # bytes of a body for which space is kept
    kept: int = 2**24  # of the bytes held, for small bodies only
    seconds: float = 60  # for a body to arrive

    def refuse_many(self, images: int, pixels: int = 0) -> None:
        """Raise HTTPException with 413 if a request has too many images, or too many pixels in all of them."""
        if images > self.images:
            raise HTTPException(413, f"Send at most {counted(self.images, 'image')} in a request.")
        if pixels > self.pixels:
            raise HTTPException(
                413, f"The request has more than {self.pixels / 1e6:g} million pixels. Send smaller or fewer images."
            )


class Gate:
    """Counts the requests inside and the bytes of their bodies, for the event loop's thread."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.inside, self.held = limits, 0, 0

    @property
    def full(self) -> bool:
        return self.inside >= self.limits.requests

    @contextmanager
    def body(self, request: Request) -> Iterator[Callable[[int], None]]:
        """Yield a function that holds space for bytes that arrive. It and this raise HTTPException with 413 or 429.

        A body takes space as it arrives and no place before it is whole. Large bodies leave space for small ones, which are
        therefore answered while slow clients send large ones.
        """
        said, held = request.headers.get("content-length", ""), 0
        if said.isdecimal() and int(said) > self.limits.body:
            raise _too_large(self.limits)
        self._refuse_if_full()

        def hold(size: int) -> None:
            nonlocal held
            if held + size > self.limits.body:
                raise _too_large(self.limits)
            kept = self.limits.kept if held + size > self.limits.small else 0
            if self.held + size > self.limits.held - kept:
                raise _busy(f"{self.held / 2**20:.0f} MiB of requests")
            held, self.held = held + size, self.held + size

        try:
            yield hold
        finally:
            self.held -= held

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places for requests. Raises HTTPException with 429."""
        self._refuse_if_full()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def _refuse_if_full(self) -> None:
        if self.full:
            raise _busy(counted(self.inside, "request"))


def _busy(what: str) -> HTTPException:
    return HTTPException(429, f"The service is busy with {what}. Try again.", SOON)


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(413, f"The request is larger than {limits.body // 2**20} MiB. Send smaller or fewer images.")
