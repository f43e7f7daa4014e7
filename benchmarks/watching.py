"""Measure what open tabs cost the training they show, without a browser: python -m benchmarks.watching [--rounds 8] [--seconds 20]

Starts the app, and clients that speak Streamlit's WebSocket as its frontend does (the timers of fragments, the cache of
messages) but draw nothing. So this is the server's share of watching; benchmarks.live_tabs measures it with a browser.

First prints the server's CPU time while a finished run is on screen, then trains on the digits with the preset quick. Each
round watches with no client, one, none, five and none; every watched phase is compared with the two unwatched ones beside
it. Prints the mean loss of images per second with its 95% interval, and the CPU time that the server spent besides training.
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

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from expertnet.settings.fields import build_settings
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.utils.devices import available_threads
from tests.support.opening import copy_of_shipped
from tests.support.served import serving

PHASES = (0, 1, 0, 5, 0)  # watching clients
SETTLE = 4.0  # seconds after a page was opened or closed, which are not measured
IDLE_SECONDS = 30.0
T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)  # Student's t for 1, 2, ... degrees of freedom


class Watcher(threading.Thread):
    """A tab on a run's page that draws nothing."""

    def __init__(self, server: str, run: Run) -> None:
        super().__init__(daemon=True)
        self.ticks = 0
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
            self._page, self._max_age = (
                message.new_session.page_script_hash,
                message.new_session.config.max_cached_message_age,
            )
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
def watching(server: str, run: Run, count: int) -> Iterator[list[Watcher]]:
    watchers = [Watcher(server, run) for _ in range(count)]
    time.sleep(SETTLE)
    try:
        yield watchers
    finally:
        for watcher in watchers:
            watcher.close()


@dataclass
class Phase:
    """What happened in a number of seconds."""

    speed: float  # images per second of the training, with its evaluations
    cpu: float  # seconds of CPU time that the server spent besides training
    ticks: int


def measure(process: psutil.Process, run: Run, watchers: list[Watcher], seconds: float) -> Phase:
    def threads() -> dict[int, float]:
        return {thread.id: thread.user_time + thread.system_time for thread in process.threads()}

    def cpu() -> float:
        return sum(process.cpu_times()[:2])

    status, ticks, busy, used = run.written_status(), sum(each.ticks for each in watchers), threads(), cpu()
    time.sleep(seconds)
    used, later = cpu() - used, threads()
    spent_by_thread = sorted(later[key] - busy[key] for key in busy.keys() & later.keys())
    training = sum(spent_by_thread[-available_threads() :]) if run.state == "running" else 0.0
    end = run.written_status()
    steps = (end.epoch - status.epoch) * end.steps + end.step - status.step
    spent = (end.heartbeat or 0) - (status.heartbeat or 0)
    speed = steps * run.settings().training.batch_size / spent if spent else 0.0
    return Phase(speed, used - training, sum(each.ticks for each in watchers) - ticks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20, help="of a phase")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = RunStore(folder / "runs")
        store.root.mkdir()
        ended = copy_of_shipped(store, "Finished")
        with serving(folder, folder / "data") as server:
            process = psutil.Process().children()[0]
            for count in (0, 1, 5):
                with watching(server, ended, count) as watchers:
                    phase = measure(process, ended, watchers, IDLE_SECONDS)
                print(
                    f"finished run, {count} watching: {phase.cpu:.2f} s of CPU time in {IDLE_SECONDS:.0f} s, {phase.ticks} ticks"
                )
            run = store.create(build_settings("quick", "digits", {"training.epochs": 10_000}))
            RunQueue(store.root).add(run.id)
            Watcher(server, run).close()  # the server looks into the queue
            while len(run.metrics()) < 2:
                assert run.status().active, run.log_tail()
                time.sleep(0.2)
            compare(process, server, run, options.rounds, options.seconds)


def compare(process: psutil.Process, server: str, run: Run, rounds: int, seconds: float) -> None:
    losses: dict[int, list[float]] = {1: [], 5: []}
    phases: dict[int, list[Phase]] = {0: [], 1: [], 5: []}
    for number in range(1, rounds + 1):
        found = []
        for count in PHASES:
            with watching(server, run, count) as watchers:
                found.append(measure(process, run, watchers, seconds))
            phases[count].append(found[-1])
        for at in (1, 3):
            alone = (found[at - 1].speed + found[at + 1].speed) / 2
            losses[PHASES[at]].append(1 - found[at].speed / alone)
        print(
            f"round {number}: "
            + ", ".join(f"{count}: {phase.speed:.0f}" for count, phase in zip(PHASES, found, strict=True))
        )
    alone_cpu = statistics.mean(phase.cpu for phase in phases[0]) / seconds
    print(f"watching  images/s  loss of images/s      CPU besides training   a tick  (n = {rounds} x {seconds:.0f} s)")
    for count, measured in phases.items():
        cpu = statistics.mean(phase.cpu for phase in measured) / seconds
        line = f"{count:>8}  {statistics.median(phase.speed for phase in measured):>8.0f}  "
        if count:
            ticks = sum(phase.ticks for phase in measured) / len(measured) / seconds
            line += (
                f"{interval(losses[count]):<20}  {cpu:>7.1%} of a core  {(cpu - alone_cpu) / ticks * 1000:>10.1f} ms"
            )
        else:
            line += f"{'':<20}  {cpu:>7.1%} of a core"
        print(line)


def interval(values: list[float]) -> str:
    """Return a mean with its 95% interval."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.1%}"
    t = T_95[min(len(values) - 1, len(T_95)) - 1]
    half = t * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.1%} [{mean - half:.1%}, {mean + half:.1%}]"


if __name__ == "__main__":
    main()
