"""Measure what open tabs cost the training they show, without a browser: python -m benchmarks.watching [--rounds 20] [--seconds 3]

Starts the app, and clients that speak Streamlit's WebSocket as its frontend does (the timers of fragments, the cache of
messages) but draw nothing. So this is the server's share of watching; benchmarks.live_tabs measures it with a browser.

First prints the server's CPU time while a finished run is on screen, then trains on the digits with the preset quick. Each
round watches with no client, one, none and five, for whole epochs of at least some seconds in all. Phases are short because a
machine's speed drifts: the clients stay connected, and pause while they do not watch. Every watched phase is compared with the
two unwatched ones beside it. After every ten rounds, a new run begins, so that curves are as long as usual. Prints the mean loss
of images per second so far with its 95% interval, and the CPU time that the server spent besides training.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
import torch
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from expertnet.routing.robustness import mean_interval
from expertnet.settings.fields import build_settings
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.utils.devices import available_threads
from tests.support.opening import copy_of_shipped
from tests.support.served import serving

PHASES = (0, 1, 0, 5)  # watching clients
SETTLE = 4.0  # seconds after pages were opened, which are not measured
POLL = 0.02  # seconds between two looks for the end of an epoch
IDLE_SECONDS = 30.0
ROUNDS = 10  # with one run


class Watcher(threading.Thread):
    """A tab on a run's page that draws nothing."""

    def __init__(self, server: str, run: Run) -> None:
        super().__init__(daemon=True)
        self.ticks, self.paused = 0, False
        self._query, self._page, self._finished = f"run={run.id}", "", threading.Event()
        self._timers: dict[str, tuple[float, float]] = {}  # fragment: its interval, when it is due
        self._cache: dict[str, tuple[int, str]] = {}  # message: when it was last used, its fragment
        self._script_runs, self._max_age = 0, 0
        self._connection = connect(
            server.replace("http", "ws", 1) + "/_stcore/stream",
            origin=Origin(server),
            subprotocols=[Subprotocol("streamlit")],
            max_size=None,
            open_timeout=None,
            ping_interval=None,
        )
        self.start()
        assert self._finished.wait(600), "the page was not drawn"

    def close(self) -> None:
        self._socket.close()
        self.join()

    def run(self) -> None:
        with suppress(ConnectionClosed), self._connection as self._socket:
            self._rerun()
            while True:
                due = min((due for _, due in self._timers.values()), default=time.monotonic() + 1)
                with suppress(TimeoutError):
                    self._receive(bytes(self._socket.recv(max(due - time.monotonic(), 0), decode=False)))
                for fragment, (interval, due) in self._timers.items():
                    if due <= time.monotonic():
                        self._timers[fragment] = interval, due + interval
                        if not self.paused:
                            self.ticks += 1
                            self._rerun(fragment)

    def _rerun(self, fragment: str = "") -> None:
        message = BackMsg()
        script = message.rerun_script
        script.query_string, script.page_script_hash, script.fragment_id = self._query, self._page, fragment
        script.page_name = "" if self._page else "train"
        script.is_auto_rerun = bool(fragment)
        script.cached_message_hashes.extend(self._cache)
        self._socket.send(message.SerializeToString())

    def _receive(self, data: bytes) -> None:
        message = ForwardMsg()
        message.ParseFromString(data)
        kind = message.WhichOneof("type")
        if kind == "ref_hash" or message.metadata.cacheable:
            _, fragment = self._cache.get(message.ref_hash, (0, message.delta.fragment_id))
            self._cache[message.ref_hash or message.hash] = self._script_runs, fragment
        if kind == "new_session":
            new = message.new_session
            self._page, self._max_age = new.page_script_hash, new.config.max_cached_message_age
            if not message.metadata.run.fragment_ids:
                self._timers.clear()
        elif kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        elif kind == "auto_rerun":
            fragment, interval = message.auto_rerun.fragment_id, message.auto_rerun.interval
            if self._timers.get(fragment, (0.0, 0.0))[0] != interval:
                self._timers[fragment] = interval, time.monotonic() + interval
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                self._timers.pop(fragment, None)
        elif kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            self._forget(set(message.metadata.run.fragment_ids))
            self._finished.set()

    def _forget(self, fragments: set[str]) -> None:
        """Remove the messages that the last runs of the page or the fragments have not used."""
        self._script_runs += 1
        for key, (used, fragment) in list(self._cache.items()):
            if (not fragments or fragment in fragments) and self._script_runs - used > self._max_age:
                del self._cache[key]


@contextmanager
def connected(server: str, run: Run, count: int) -> Iterator[list[Watcher]]:
    watchers = [Watcher(server, run) for _ in range(count)]
    time.sleep(SETTLE)
    try:
        yield watchers
    finally:
        for watcher in watchers:
            watcher.close()


@dataclass
class Moment:
    """What the server has done so far. Times are in seconds."""

    time: float
    cpu: float
    by_thread: dict[int, float]
    ticks: int

    @classmethod
    def now(cls, process: psutil.Process, watchers: list[Watcher]) -> Self:
        by_thread = {thread.id: thread.user_time + thread.system_time for thread in process.threads()}
        return cls(time.monotonic(), sum(process.cpu_times()[:2]), by_thread, sum(each.ticks for each in watchers))


@dataclass
class Phase:
    """Whole epochs of a training while some clients watch."""

    watching: int
    epochs: int
    seconds: float
    cpu: float  # seconds that the server spent besides training
    ticks: int


def compare(process: psutil.Process, run: Run, watchers: list[Watcher], rounds: int, seconds: float) -> list[Phase]:
    """Return the phases of some rounds, and one more without clients."""
    history = run.path / "metrics.jsonl"  # which is written at the end of every epoch

    def end_of_epoch() -> tuple[Moment, int]:
        size = history.stat().st_size
        while history.stat().st_size == size:
            assert run.status().active, run.log_tail()
            time.sleep(POLL)
        return Moment.now(process, watchers), history.read_bytes().count(b"\n")

    phases = []
    end, last = end_of_epoch()
    for count in (*PHASES * rounds, 0):
        for position, watcher in enumerate(watchers):
            watcher.paused = position >= count
        start, first = end, last
        while end.time < start.time + seconds:
            end, last = end_of_epoch()
        then, now = start.by_thread, end.by_thread
        spent = sorted(now[key] - then[key] for key in then.keys() & now.keys())
        cpu = end.cpu - start.cpu - sum(spent[-available_threads() :])  # without the busiest threads, which train
        phases.append(Phase(count, last - first, end.time - start.time, cpu, end.ticks - start.ticks))
    return phases


def report(phases: list[Phase], images: int) -> None:
    """Print what watching cost, with epochs of that many images."""
    alone = statistics.mean(phase.cpu / phase.seconds for phase in phases if not phase.watching)
    speeds = [images * phase.epochs / phase.seconds for phase in phases]
    rounds = sum(phase.watching > 0 for phase in phases) // 2
    print(f"watching  images/s  loss of images/s      CPU besides training   a tick  (n = {rounds})")
    for count in sorted(set(PHASES)):
        at = [index for index, phase in enumerate(phases) if phase.watching == count]
        cpu = statistics.mean(phases[index].cpu / phases[index].seconds for index in at)
        speed, loss, tick = statistics.median(speeds[index] for index in at), "", ""
        if count:
            losses = [1 - 2 * speeds[i] / (speeds[i - 1] + speeds[i + 1]) for i in at]
            loss = "{:.1%} [{:.1%}, {:.1%}]".format(*mean_interval(torch.tensor(losses)))
            ticks = sum(phases[index].ticks for index in at) / sum(phases[index].seconds for index in at)
            tick = f"  {(cpu - alone) / ticks * 1000:>10.1f} ms"
        print(f"{count:>8}  {speed:>8.0f}  {loss:<20}  {cpu:>7.1%} of a core{tick}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3, help="of a phase, at least")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = RunStore(folder / "runs")
        store.root.mkdir()
        ended = copy_of_shipped(store, "Finished")
        with serving(folder, folder / "data") as server:
            process = psutil.Process().children()[0]
            for count in sorted(set(PHASES)):
                with connected(server, ended, count) as watchers:
                    start = Moment.now(process, watchers)
                    time.sleep(IDLE_SECONDS)
                    end = Moment.now(process, watchers)
                print(
                    f"finished run, {count} watching: {end.cpu - start.cpu:.2f} s of CPU time in {IDLE_SECONDS:.0f} s, "
                    f"{end.ticks - start.ticks} ticks"
                )
            phases: list[Phase] = []
            for done in range(0, options.rounds, ROUNDS):
                run = store.create(build_settings("quick", "digits", {"training.epochs": 10_000}))
                RunQueue(store.root).add(run.id)
                Watcher(server, run).close()  # the server looks into the queue
                while len(run.metrics()) < 2:
                    assert run.status().active, run.log_tail()
                    time.sleep(0.2)
                images = run.written_status().steps * run.settings().training.batch_size
                with connected(server, run, max(PHASES)) as watchers:
                    phases += compare(process, run, watchers, min(options.rounds - done, ROUNDS), options.seconds)
                run.ask_to_stop()
                while run.status().active:
                    time.sleep(0.2)
                report(phases, images)


if __name__ == "__main__":
    main()
