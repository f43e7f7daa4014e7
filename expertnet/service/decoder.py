"""Decode the images of requests, so that large ones do not hold up the others."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self

import numpy as np
from fastapi import HTTPException
from torch import Tensor

from expertnet.data.images import LARGE, SMALL, announced_pixels, load_image
from expertnet.errors import ImageError
from expertnet.service.intake import File
from expertnet.service.limits import Limits

THREADS = 4
STATUS = {"format": 415, "size": 413, "damaged": 422}  # of an image that cannot be read


class Decoder:
    """Decodes the images of requests in threads.

    Requests with an image that must wait for others to leave it memory, or with more than LARGE pixels, have threads of their
    own, so that small images never wait for them.
    """

    def __init__(self, image_size: int, limits: Limits, load: Callable[[bytes, int], Tensor] = load_image) -> None:
        self.image_size, self.limits, self.load = image_size, limits, load
        self.threads, self.patient = ThreadPoolExecutor(THREADS, "decoders"), ThreadPoolExecutor(2, "large images")

    async def __call__(self, files: Sequence[File]) -> list[np.ndarray]:
        """Return images as uint8 (3, S, S).

        Raises HTTPException: 413 if they have too many pixels together, 413, 415 or 422 for the first that cannot be read.
        """
        run = asyncio.get_running_loop().run_in_executor
        images = await run(self.threads, self._decode_small, files)
        return await run(self.patient, self._decode, files) if images is None else images

    def split(self, body: bytes) -> list[np.ndarray]:
        """Return the images (3, S, S) whose pixels are in a body. Raises HTTPException with 413 or 422."""
        size = self.image_size
        count, rest = divmod(len(body), 3 * size**2)
        if rest or not count:
            raise HTTPException(
                422,
                f"An image of {size} x {size} pixels is {3 * size**2:,} bytes. The body has {len(body):,}, which is no multiple.",
            )
        self.limits.refuse_many(count, count * size**2)
        return list(np.frombuffer(body, np.uint8).reshape(count, size, size, 3).transpose(0, 3, 1, 2))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.threads.shutdown()
        self.patient.shutdown()

    def _decode_small(self, files: Sequence[File]) -> list[np.ndarray] | None:
        """Return the images, or None if one or all of them have many pixels."""
        sizes = []
        for number, file in enumerate(files, start=1):
            with _refused(number, file):
                sizes.append(announced_pixels(file[1]))
        self.limits.refuse_many(len(files), sum(sizes))
        return None if max(sizes, default=0) > SMALL or sum(sizes) > LARGE else self._decode(files)

    def _decode(self, files: Sequence[File]) -> list[np.ndarray]:
        images = []
        for number, file in enumerate(files, start=1):
            with _refused(number, file):
                images.append(self.load(file[1], self.image_size).numpy())
        return images


@contextmanager
def _refused(number: int, file: File) -> Iterator[None]:
    """Make an ImageError the refusal of the request."""
    try:
        yield
    except ImageError as error:
        where = "" if file[0] is None else f"Image {number} ({file[0][:100]}): "
        raise HTTPException(STATUS[error.kind], f"{where}{error}") from None
