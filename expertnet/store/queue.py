"""The runs that wait for their turn to train, in order and on disk: one queue for every server and command line on a store.

In this module: RunQueue. `queue.json` holds the order and whether the queue is paused; it outlives a restart. Who changes it
holds `queue.lock` for that moment, which the system frees when its process ends in any way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from expertnet.utils.files import read_json, write_atomically
from expertnet.utils.processes import is_alive, this_process

QUEUE = "queue.json"


class RunQueue:
    """The queue of the store at `root`. An entry is {"run": id, "owner": process or None}.

    An entry with an owner (a command line, or a training in a process of its own) is trained by that process alone, and
    counts only while it lives; one without is trained by the server whose turn it is.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.path = root, root / QUEUE

    def entries(self) -> list[dict[str, Any]]:
        """Those that wait, in order; a file that is missing or damaged is an empty queue."""
        waiting = self._read()["waiting"]
        return [entry for entry in waiting if entry["owner"] is None or is_alive(entry["owner"])]

    def ids(self) -> list[str]:
        return [entry["run"] for entry in self.entries()]

    @property
    def paused(self) -> bool:
        """Whether nothing new is begun; what trains already goes on."""
        return bool(self._read()["paused"])

    def add(self, run_id: str, owner: Mapping[str, Any] | None = None) -> None:
        """At the end; an entry that is there keeps its place and gets its new owner."""
        with self._change() as (waiting, _):
            entry = {"run": run_id, "owner": dict(owner) if owner else None}
            place = next((index for index, other in enumerate(waiting) if other["run"] == run_id), None)
            if place is None:
                waiting.append(entry)
            else:
                waiting[place] = entry

    def add_first(self, run_id: str, owner: Mapping[str, Any] | None = None) -> None:
        """At the head, for a run that was taken and is handed on."""
        with self._change() as (waiting, _):
            waiting[:] = [{"run": run_id, "owner": dict(owner) if owner else None}] + [
                other for other in waiting if other["run"] != run_id
            ]

    def remove(self, run_id: str) -> bool:
        """Whether it was there."""
        with self._change() as (waiting, _):
            kept = [entry for entry in waiting if entry["run"] != run_id]
            found, waiting[:] = len(kept) < len(waiting), kept
            return found

    def move_up(self, run_id: str) -> None:
        self._move(run_id, lambda place: max(place - 1, 0))

    def run_next(self, run_id: str) -> None:
        self._move(run_id, lambda place: 0)

    def _move(self, run_id: str, to: Any) -> None:
        with self._change() as (waiting, _):
            place = next((index for index, entry in enumerate(waiting) if entry["run"] == run_id), None)
            if place is not None:  # else it has begun meanwhile
                waiting.insert(to(place), waiting.pop(place))

    def pause(self, paused: bool) -> None:
        with self._change() as (_, whole):
            whole["paused"] = paused

    def take(self, run_id: str | None = None) -> str | None:
        """Takes the run at the head out, if it is this one, or without an id one that has no owner; else None.

        Only who holds the training lock may call it: what was taken begins at once, and is `training` until done().
        """
        entries = self.entries()
        if self.paused or not entries or not _takes(entries[0], run_id):
            return None
        with self._change() as (waiting, whole):
            if whole["paused"] or not waiting or not _takes(waiting[0], run_id):
                return None
            whole["training"] = waiting.pop(0) | {"owner": this_process()}
            return str(whole["training"]["run"])

    def done(self) -> None:
        """The run that was taken trains no longer."""
        with self._change() as (_, whole):
            whole["training"] = None

    @property
    def training(self) -> str | None:
        """The run that was taken last, while the process that took it lives."""
        training = self._read()["training"]
        return training["run"] if training and is_alive(training["owner"]) else None

    def _read(self) -> dict[str, Any]:
        try:
            kept = read_json(self.path)
            waiting = [_entry(item) for item in kept.get("waiting", [])]
            training = _entry(kept["training"]) if kept.get("training") else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {"waiting": [], "training": None, "paused": False}
        return {"waiting": waiting, "training": training, "paused": kept.get("paused") is True}

    @contextmanager
    def _change(self) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
        """Gives the entries and the whole to be changed in place, with every other process kept out."""
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / "queue.lock", thread_local=False):
            whole = self._read()
            whole["waiting"] = [
                entry for entry in whole["waiting"] if entry["owner"] is None or is_alive(entry["owner"])
            ]
            before = json.dumps(whole)
            yield whole["waiting"], whole
            if json.dumps(whole) != before:
                write_atomically(self.path, json.dumps(whole).encode())


def _takes(entry: dict[str, Any], run_id: str | None) -> bool:
    return bool(entry["run"] == run_id if run_id else entry["owner"] is None)


def _entry(item: Any) -> dict[str, Any]:
    """With all the facts of a process that is_alive asks for; what they lack makes it a dead one. Raises for what is no entry."""
    owner = item.get("owner")
    return {
        "run": str(item["run"]),
        "owner": dict.fromkeys((*this_process(), "heartbeat")) | owner if owner is not None else None,
    }
