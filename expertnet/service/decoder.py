"""Decode the images of requests, so that large ones do not hold up the others."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self

from fastapi import HTTPException
from torch import Tensor

from expertnet.data.images import LARGE, announced_pixels, from_pixels, load_image
from expertnet.errors import ImageError
from expertnet.service.intake import File

THREADS = 4
STATUS = {"format": 415, "size": 413, "damaged": 422}  # of an image that cannot be read


class Decoder:
    """Decodes the images of requests in threads.

    Requests with more than LARGE pixels wait for one another, in a thread of their own, so that the others never wait for them.
    """

    def __init__(self, image_size: int, pixels: int, load: Callable[[bytes, int], Tensor] = load_image) -> None:
        self.image_size, self.pixels, self.load = image_size, pixels, load
        self.threads, self.patient = ThreadPoolExecutor(THREADS, "decoders"), ThreadPoolExecutor(1, "large images")

    async def __call__(self, files: Sequence[File], are_pixels: bool = False) -> list[Tensor]:
        """Return images as uint8 (3, S, S), from files or from their pixels.

        Raises HTTPException: 413 if they have more than `pixels` together, 413, 415 or 422 for the first that cannot be read.
        """
        run = asyncio.get_running_loop().run_in_executor
        if are_pixels:
            self._refuse_many(len(files) * self.image_size**2)
            return await run(self.threads, self._from_pixels, files)
        images = await run(self.threads, self._decode_small, files)
        return await run(self.patient, self._decode, files) if images is None else images

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.threads.shutdown()
        self.patient.shutdown()

    def _refuse_many(self, pixels: int) -> None:
        if pixels > self.pixels:
            raise HTTPException(
                413, f"The request has more than {self.pixels / 1e6:g} million pixels. Send smaller or fewer images."
            )

    def _from_pixels(self, files: Sequence[File]) -> list[Tensor]:
        return [from_pixels(content, self.image_size) for _, content in files]

    def _decode_small(self, files: Sequence[File]) -> list[Tensor] | None:
        """Return the images, or None if they have many pixels."""
        pixels = 0
        for number, file in enumerate(files, start=1):
            with _refused(number, file):
                pixels += announced_pixels(file[1])
        self._refuse_many(pixels)
        return None if pixels > LARGE else self._decode(files)

    def _decode(self, files: Sequence[File]) -> list[Tensor]:
        images = []
        for number, file in enumerate(files, start=1):
            with _refused(number, file):
                images.append(self.load(file[1], self.image_size))
        return images


@contextmanager
def _refused(number: int, file: File) -> Iterator[None]:
    """Make an ImageError the refusal of the request."""
    try:
        yield
    except ImageError as error:
        where = "" if file[0] is None else f"Image {number} ({file[0][:100]}): "
        raise HTTPException(STATUS[error.kind], f"{where}{error}") from None
