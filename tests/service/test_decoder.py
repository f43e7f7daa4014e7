"""Limits on the pixels of a request, and requests that must not wait for large images."""

import asyncio
import threading

import pytest

from expertnet.data.images import load_image
from expertnet.service.decoder import THREADS, Decoder
from expertnet.service.limits import Limits
from tests.service.test_app import RAW, in_form, refused
from tests.support.services import png
from tests.support.small import LIMIT


@pytest.fixture(scope="module")
def flat():
    """Return a flat PNG of 49 megapixels, which is 10 kB."""
    return png("white", (7000, 7000), "1")


def test_the_images_of_a_request_have_a_limit_of_pixels_together(client, flat):
    start = client()
    assert len(flat) < 20_000
    assert "more than 100 million pixels" in refused(start.post("/predict", files=in_form(*[flat] * 64)), 413)
    assert start.get("/about").json()["limits"]["pixels_of_a_request"] == 100_000_000
    start = client(limits=Limits(pixels=2000))
    assert start.post("/predict", files=in_form(png(), png(size=(40, 40)))).status_code == 200
    for files in ([png(size=(50, 50))], [png(size=(40, 40))] * 2):
        assert "more than 0.002 million pixels" in refused(start.post("/predict", files=in_form(*files)), 413)
    assert start.post("/predict", content=png(size=(50, 50)), headers=RAW).status_code == 413


def test_small_images_never_wait_for_large_ones(flat):
    free, begun = threading.Event(), threading.Semaphore(0)

    def load(content, size):
        if content is flat:
            begun.release()
            assert free.wait(LIMIT)
        return load_image(content if content is not flat else png(), size)

    async def run():
        with Decoder(8, Limits(), load) as decoder:
            large = [asyncio.create_task(decoder([(None, flat)])) for _ in range(2 * THREADS)]
            assert await asyncio.to_thread(begun.acquire, timeout=LIMIT)
            try:
                async with asyncio.timeout(LIMIT):
                    (small,) = await decoder([(None, png())])
            finally:
                free.set()
            assert small.shape == (3, 8, 8) and not any(task.done() for task in large)
            await asyncio.gather(*large)

    asyncio.run(run())
