"""Images of several requests are classified together, and each request gets its own answers."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from fastapi.testclient import TestClient
from threadpoolctl import threadpool_info, threadpool_limits

from expertnet.service.app import make_app
from expertnet.service.batches import Batcher
from expertnet.service.limits import Limits
from tests.support.requests import RAW, Held
from tests.support.services import png
from tests.support.small import LIMIT, until


def test_concurrent_requests_get_their_own_answers_and_are_counted(served, client):
    held = Held(served.predictor)
    start = client(replace(served, predictor=held), threads=1)

    def post(top):
        return start.post(f"/predict?top={top}", content=png(), headers=RAW).json()["images"][0]["predictions"]

    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, 1)
        until(lambda: held.batches)
        others = [pool.submit(post, top) for top in (2, 1, 1000)]
        until(lambda: "expertnet_requests_inside 4.0" in start.get("/metrics").text)
        held.let_go.set()
        assert [len(each.result()) for each in (first, *others)] == [1, 2, 1, 2]
    assert held.batches[0] == 1 and sum(held.batches) == 4
    metrics = start.get("/metrics").text
    assert 'expertnet_requests_total{status="200"} 4.0' in metrics and "expertnet_images_total 4.0" in metrics
    assert "expertnet_batch_images_sum 4.0" in metrics


def test_free_threads_share_what_waits_and_a_busy_one_takes_it_together():
    held, sizes = threading.Event(), []

    def work(items):
        sizes.append(len(items))
        assert held.wait(LIMIT)
        if items[0] == "bad":
            raise ValueError("bad")
        return [item * 2 for item in items]

    async def run():
        with Batcher(work, 2) as batcher:
            first = asyncio.create_task(batcher([1, 2, 3]))  # two and one
            await asyncio.sleep(0)
            bad = asyncio.create_task(batcher(["bad"]))
            rest = asyncio.create_task(batcher([4, 5]))  # with the bad one, or alone
            gone = asyncio.create_task(batcher([6]))
            await asyncio.sleep(0)
            gone.cancel()
            held.set()
            with pytest.raises(ValueError, match="bad"):
                await bad
            return await first, await batcher([7]), await asyncio.gather(rest, return_exceptions=True)

    first, last, _ = asyncio.run(run())
    assert first == [2, 4, 6] and last == [14]
    assert sorted(sizes[:2]) == [1, 2] and sum(sizes) == 8


def test_what_numpy_computes_for_a_batch_starts_no_threads_beside_those_of_the_service(served):
    def threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    def in_a_thread(work):  # that ends, since the limit of one that lives is kept
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work).result()

    before = in_a_thread(partial(threadpool_limits, 2, "blas"))
    try:
        with TestClient(make_app(served, threads=2, limits=Limits())):
            assert threads() == {1}
        assert threads() == {2}
    finally:
        in_a_thread(before.restore_original_limits)
