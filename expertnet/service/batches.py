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


class _Asked(Generic[In, Out]):
    """The items of a request, and their results so far."""

    def __init__(self, items: Sequence[In]) -> None:
        self.items = items
        self.results = dict[int, Out]()  # by place
        self.future: asyncio.Future[list[Out]] = asyncio.get_running_loop().create_future()


class Batcher(Generic[In, Out]):
    """Calls `work` with what is waiting, on so many threads at once; all methods are for the event loop's thread.

    Nothing waits for a batch to fill up: a free thread takes its share of what is there, so batches grow with the load.
    """

    def __init__(self, work: Callable[[Sequence[In]], Sequence[Out]], threads: int) -> None:
        self.work, self.free = work, threads
        self.waiting: deque[tuple[_Asked[In, Out], int]] = deque()  # requests, each with the place of an item
        # A network computes on one thread here, so what torch adds must not start more
        self.pool = ThreadPoolExecutor(threads, "batches", initializer=torch.set_num_threads, initargs=(1,))

    async def __call__(self, items: Sequence[In]) -> list[Out]:
        """Return the result for each item. Raises what `work` raises."""
        asked = _Asked[In, Out](items)
        self.waiting.extend((asked, place) for place in range(len(items)))
        self._start()
        return await asked.future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.pool.shutdown()

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        while self.waiting and self.free:
            share = min(-(-len(self.waiting) // self.free), BATCH)
            self.free -= 1
            taken = [self.waiting.popleft() for _ in range(share)]
            items = [asked.items[place] for asked, place in taken]
            loop.run_in_executor(self.pool, self.work, items).add_done_callback(partial(self._settle, taken))

    def _settle(self, taken: Sequence[tuple[_Asked[In, Out], int]], batch: asyncio.Future[Sequence[Out]]) -> None:
        self.free += 1
        self._start()
        error = batch.exception()
        for number, (asked, place) in enumerate(taken):
            if asked.future.done():  # cancelled, or failed in another batch
                continue
            if error:
                asked.future.set_exception(error)
                continue
            asked.results[place] = batch.result()[number]
            if len(asked.results) == len(asked.items):
                asked.future.set_result([asked.results[place] for place in range(len(asked.items))])
