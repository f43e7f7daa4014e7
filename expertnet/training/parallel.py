"""The processes that train one run together: what each learns from, and what they send one another.

They start with equal weights and draw the same numbers. Each step's gradient is averaged over all of them, so their weights stay
equal, and one process may save the state of all.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from expertnet.errors import RunError
from expertnet.training.synced_norm import synchronize_norms
from expertnet.utils.processes import HEARTBEAT_LIMIT, RENEW_AFTER
from expertnet.utils.progress import Cancelled

PATIENCE = timedelta(days=1)  # for the others; that one has died, or its computer cannot be reached, is seen earlier

BEAT = "expertnet beat"  # of the keys in torch's store
SILENT = (
    "A computer that trains this run has not been heard of for a minute. The last completed epoch is kept. "
    "Look after that computer and its network, then resume the run."
)

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The processes that train a run, and which of them this one is. A single one learns from everything and waits for nobody.

    All processes call the same methods in the same order.
    """

    number: int = 0
    count: int = 1

    def share(self, whole: Tensor) -> Tensor:
        """Return this process's part of a tensor whose first dimension is the images of a step."""
        return whole.chunk(self.count)[self.number]

    def deal(self, parts: Sequence[T]) -> Sequence[T]:
        """Return which of some parts of a dataset this process evaluates: those of the first process are the first ones."""
        start, end = (len(parts) * number // self.count for number in (self.number, self.number + 1))
        return parts[start:end]

    def collect(self, mine: Tensor) -> Tensor:
        """Return the rows of all processes, those of the first one first. A process may have none."""
        found: list[Tensor] = [mine for _ in range(self.count)]
        dist.all_gather_object(found, mine)
        return torch.cat([rows for rows in found if len(rows)] or [mine])

    def sum(self, mine: Tensor) -> Tensor:
        """Return the sum of the processes' tensors."""
        if self.count == 1:
            return mine
        total = mine.clone()
        dist.all_reduce(total)
        return total

    def average_statistics(self, *models: nn.Module) -> None:
        """Replace the running statistics of each process by their mean."""
        for buffer in chain(*(model.buffers() for model in models)) if self.count > 1 else ():
            if buffer.is_floating_point():
                buffer.copy_(self.sum(buffer) / self.count)

    def agree(self, decision: T) -> T:
        """Return the decision of the first process."""
        decisions = [decision]
        if self.count > 1:
            dist.broadcast_object_list(decisions)
        return decisions[0]

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.sum(torch.zeros(()))

    @contextmanager
    def explained(self, stopped: Callable[[], bool]) -> Iterator[None]:
        """Turn the error that another process has ended into one for users, or into Cancelled if the training was to stop."""
        try:
            yield
        except RuntimeError as error:
            if not is_lost(error):
                raise
            raise Cancelled if stopped() else RunError(lost_text(self.count)) from error

    def connected(self, model: nn.Module, synchronizes: bool) -> nn.Module:
        """Return a network that averages its gradients over the processes. Its parameters are those of `model`.

        With `synchronizes`, the batch norms of `model` take their statistics over the images of all processes.
        """
        if self.count == 1:
            return model
        if synchronizes:
            synchronize_norms(model)
        return DistributedDataParallel(model, forward_sync_buffers=False)


ALONE = Group()


def is_lost(error: Exception) -> bool:
    """Return whether an error says that another process has ended."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def lost_text(count: int) -> str:
    """Say that one of the processes has ended, and what to do."""
    return (
        f"One of the {count} training processes ended unexpectedly, for example because memory ran out. The last completed epoch "
        "is kept. Resume the run. If that fails again, the log has the details."
    )


@contextmanager
def listening(group: Group, on_silence: Callable[[], object]) -> Iterator[None]:
    """In the first process, call `on_silence` from a thread if another is not heard of for HEARTBEAT_LIMIT seconds meanwhile.

    The other processes call `speak`. Their connections do not break when their computer loses its power or its network.
    """
    ended = threading.Event()

    def work() -> None:
        with suppress(dist.DistError):  # the computer with the store cannot be reached either
            store, heard = _store(), dict.fromkeys(range(1, group.count), (0, time.monotonic()))
            while all(time.monotonic() - when < HEARTBEAT_LIMIT for _, when in heard.values()):
                if ended.wait(RENEW_AFTER / 4):
                    return
                for number, (beats, _) in heard.items():
                    now = store.add(f"{BEAT} {number}", 0)
                    if now != beats:
                        heard[number] = now, time.monotonic()
        if not ended.is_set():
            on_silence()

    if _spans_computers(group):
        threading.Thread(target=work, name="listen", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def speak(group: Group) -> None:
    """Tell the first process from a thread, again and again, that this one is alive."""

    def work() -> None:
        with suppress(dist.DistError):  # the first process has ended, which the run's status tells
            store = _store()
            while True:
                store.add(f"{BEAT} {group.number}", 1)
                time.sleep(RENEW_AFTER / 4)

    if _spans_computers(group):
        threading.Thread(target=work, name="speak", daemon=True).start()


def _spans_computers(group: Group) -> bool:
    """Return whether the processes are on several computers. On one, PyTorch's launcher watches all of them."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", group.count)) < group.count


def _store() -> dist.TCPStore:
    """Connect to the store through which the processes found one another."""
    return dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)


def join(device: torch.device) -> Group:
    """Join the processes that the environment describes, as torch.distributed.run sets it. `device` is that of this process."""
    backends = "cpu:gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backends += ",cuda:nccl"
    dist.init_process_group(backends, timeout=PATIENCE)
    return Group(dist.get_rank(), dist.get_world_size())
