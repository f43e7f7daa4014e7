"""Classify the images of concurrent requests together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, Self, TypeVar

import torch

from expertnet.inference.predictor import BATCH

In = TypeVar("In")
Out = TypeVar("Out")


class Batcher(Generic[In, Out]):
    """Calls `work` with what is waiting, on so many threads at once; all methods are for the event loop's thread.

    Nothing waits for a batch to fill up: a free thread takes its share of what is there, so batches grow with the load.
    """

    def __init__(self, work: Callable[[Sequence[In]], Sequence[Out]], threads: int) -> None:
        self.work, self.free = work, threads
        self.waiting: deque[tuple[In, asyncio.Future[Out]]] = deque()
        # A network computes on one thread here, so what torch adds must not start more
        self.pool = ThreadPoolExecutor(threads, "batches", initializer=torch.set_num_threads, initargs=(1,))

    async def __call__(self, items: Sequence[In]) -> list[Out]:
        """Return the result for each item. Raises what `work` raises."""
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in items]
        self.waiting.extend(zip(items, futures, strict=True))
        self._start()
        return await asyncio.gather(*futures)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.pool.shutdown()

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        while self.waiting and self.free:
            share = min(-(-len(self.waiting) // self.free), BATCH)
            self.free -= 1
            items, futures = zip(*(self.waiting.popleft() for _ in range(share)), strict=True)
            loop.run_in_executor(self.pool, self.work, items).add_done_callback(partial(self._settle, futures))

    def _settle(self, futures: Sequence[asyncio.Future[Out]], batch: asyncio.Future[Sequence[Out]]) -> None:
        self.free += 1
        self._start()
        error = batch.exception()
        for place, future in enumerate(futures):
            if future.done():  # its request was cancelled
                continue
            if error is None:
                future.set_result(batch.result()[place])
            else:
                future.set_exception(error)
