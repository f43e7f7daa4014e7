"""Runs on disk: what is in the store is the truth, and every page and command reads it from here.

In this module: fresh_id, RunStore (a folder of runs) and Run (one of them: the writes that make an epoch safe, beside what
run_reader.py and run_weights.py read).
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from expertnet.errors import RunError
from expertnet.store.checkpoints import RunWeights
from expertnet.store.notes import Notes, too_long, write_notes
from expertnet.store.reader import STOP
from expertnet.store.status import ACTIVE_STATES, Before, Status
from expertnet.store.weights_files import Checkpoint
from expertnet.utils.files import FULL, overwrite, to_json, write_atomically

RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
TRASH = ".trash"  # the folder of the store in which deleted runs lie


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def fresh_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class Run(RunWeights):
    """One run: a folder."""

    # -- stopping, which any process on the store may ask for

    def ask_to_stop(self, discard: bool = False) -> None:
        """Leaves word for whoever trains it. Raises RunError where nobody does."""
        if self.state not in ACTIVE_STATES:
            raise RunError(f"Run {self.title} does not train any more: it is {self.state}.")
        write_atomically(self.path / STOP, b"discard" if discard else b"stop")

    def forget_stop(self) -> None:
        (self.path / STOP).unlink(missing_ok=True)

    def leave_queue(self, state: str) -> None:
        """It waited and will not be trained: a new run is `state`, one that was to go on is again what it was."""
        status = self.status()
        before = status.before or Before(
            state=state, epochs=status.epochs, error=status.error, error_kind=status.error_kind
        )
        if status.before:
            config = self.config()
            self.write_config(config | {"training": config["training"] | {"epochs": before.epochs}})
        self.write_status(status.changed(**before.model_dump(), before=None))

    # -- writing

    def write_config(self, config: Mapping[str, Any]) -> None:
        write_atomically(self.path / "config.json", json.dumps(config, indent=2).encode())

    def write_status(self, status: Status) -> None:
        """On a full disk over the file that is there, in the room that it has: why a run failed must not be lost."""
        data = to_json(status.model_dump()).encode()
        try:
            write_atomically(self.path / "status.json", data)
        except OSError as error:
            if error.errno not in FULL:
                raise
            overwrite(self.path / "status.json", data)

    def log(self, text: str) -> None:
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{now()}  {text}\n")

    def commit_epoch(self, state: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
        """Makes an epoch safe, of which `history` has the last line; the replacement of resume.pt, which comes last, is the commit."""
        if history:
            with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(to_json(history[-1]) + "\n")
                file.flush()
                os.fsync(file.fileno())
        best = state["best"]
        kept = self.checkpoint_path("best")
        if not kept.is_file() or best["epoch"] == state["epoch"]:
            self._save_weights("best", best["weights"], best["epoch"])
        self._save_weights("last", state["weights"], state["epoch"])
        every = self.settings().training.keep_every
        if every and state["epoch"] % every == 0:
            self._save_weights(f"epoch-{state['epoch']:04d}", state["weights"], state["epoch"])
        whole = dict(state) | {"history": [to_json(line) for line in history]}
        buffer = io.BytesIO()  # torch.save would turn the error of a full disk into one of its own
        torch.save(whole, buffer)
        write_atomically(self.path / "resume.pt", lambda file: file.write(buffer.getbuffer()))

    def _save_weights(self, kind: Checkpoint, weights: dict[str, Tensor], epoch: int) -> None:
        write_atomically(self.checkpoint_path(kind), save(weights, {"epoch": str(epoch)}))

    def roll_back(self, state: Mapping[str, Any]) -> None:
        """Brings metrics.jsonl and the checkpoints back to the epoch of a resume state."""
        lines = state.get("history")  # runs of an older version have theirs in metrics.jsonl alone
        if lines is None:
            lines = [to_json(line) for line in self.metrics() if line["epoch"] <= state["epoch"]]
        write_atomically(self.path / "metrics.jsonl", "".join(f"{line}\n" for line in lines).encode())
        self._save_weights("best", state["best"]["weights"], state["best"]["epoch"])
        self._save_weights("last", state["weights"], state["epoch"])
        for epoch, name in self.kept_epochs().items():
            if epoch > state["epoch"]:
                self.checkpoint_path(name).unlink()

    def annotate(self, notes: Notes) -> None:
        """Changes its name, tags and note, whatever its state."""
        if self.shipped:
            raise RunError(f"{self.title} came with ExpertNet Studio as an example and stays as it is.")
        if not self.path.is_dir():
            raise RunError(f"Run {self.id} is no longer in the store.")
        why_not = too_long(notes)
        if why_not:
            raise RunError(why_not)
        try:
            write_notes(self.path, notes)
        except OSError as error:
            raise RunError(f"The notes of run {self.id} could not be written: {error.strerror}.") from None

    def move_to_trash(self) -> None:
        """Out of the store, into its .trash, from where it can be brought back (trash.py)."""
        if self.shipped:
            raise RunError(f"{self.title} came with ExpertNet Studio as an example and stays.")
        if self.state in ACTIVE_STATES:
            raise RunError(f"Run {self.name} is {self.state}; stop it before you delete it.")
        trash = self.path.parent / TRASH
        if trash.is_symlink():
            raise RunError(f"{trash} is a link; a folder of the store itself must take what is deleted.")
        if os.path.lexists(trash / self.id):
            raise RunError(f"The trash has a run {self.id} already; empty it before you delete this one.")
        try:
            trash.mkdir(exist_ok=True)
            os.rename(self.path, trash / self.id)
        except OSError as error:
            raise RunError(f"Run {self.name} could not be deleted: {error.strerror}.") from None
