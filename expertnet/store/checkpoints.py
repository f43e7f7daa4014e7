"""The weights of a run and its resume.pt, whose replacement commits an epoch."""

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from expertnet.errors import RunError
from expertnet.store.history import LARGEST_EPOCH, HistoryRow, append_row, read_history
from expertnet.utils.files import cached_on_file, to_json, write_atomically

Checkpoint = str  # "best", "last", or a saved epoch such as "epoch-0010"
CHECKPOINTS: tuple[Checkpoint, ...] = ("best", "last")


class Best(TypedDict):
    """The best epoch so far by validation accuracy and, among equal ones, by validation loss."""

    epoch: int
    accuracy: float | None  # None before the first epoch
    loss: NotRequired[float]  # missing before the first epoch and in runs from older versions
    weights: dict[str, Tensor]


class ResumeState(TypedDict):
    """Everything needed to resume after a completed epoch."""

    epoch: int
    weights: dict[str, Tensor]  # as evaluated: averaged if averaging is on
    raw: dict[str, Tensor] | None  # without averaging; None if averaging is off
    averaged: int  # updates of the average so far
    average_warms_up: NotRequired[bool]  # missing in runs from older versions, whose average moves at one rate
    optimizers: list[dict[str, Any]]
    losses: NotRequired[Tensor | None]  # the last ones of the training images; None if it learns from all of each batch
    times: NotRequired[Tensor | None]  # in how many steps each training image was learned from; None as for the losses
    best: Best
    generator: Tensor
    random: tuple[Any, ...]
    threads: int
    history: NotRequired[list[str]]  # the lines of metrics.jsonl; missing in runs from older versions


class Checkpoints:
    """The checkpoints in the folder of a run. Each safetensors file has its epoch in its metadata."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, kind: Checkpoint) -> Path:
        return self.folder / f"{kind}.safetensors"

    def present(self) -> tuple[Checkpoint, ...]:
        """Return which of "best" and "last" exist, damaged ones included."""
        return tuple(kind for kind in CHECKPOINTS if self.path(kind).is_file())

    def saved_epochs(self) -> dict[int, Checkpoint]:
        """Return the checkpoints that `training.keep_every` saved, by epoch in order."""
        names = sorted(path.stem for path in self.folder.glob("epoch-*.safetensors"))
        return {int(name[6:]): name for name in names if name[6:].isdigit()}

    def epoch(self, kind: Checkpoint) -> int | None:
        """Return the epoch of a checkpoint: 0 for the initial weights, None if it cannot be read."""
        with suppress(SafetensorError, OSError, ValueError):
            return _read_epoch(self.path(kind))
        return None

    def load(self, kind: Checkpoint) -> tuple[dict[str, Tensor], int]:
        """Return the weights and their epoch. Raises RunError if they are missing or damaged."""
        try:
            with safe_open(self.path(kind), framework="pt") as file:
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
                return weights, epoch_of(file.metadata())
        except (SafetensorError, OSError, ValueError):
            raise self.unusable(kind) from None

    def save(self, kind: Checkpoint, weights: dict[str, Tensor], epoch: int) -> None:
        write_atomically(self.path(kind), save(weights, {"epoch": str(epoch)}))

    def unusable(self, kind: Checkpoint) -> RunError:
        """Return the error for a missing or damaged checkpoint. It says whether another can be used."""
        other: Checkpoint = "last" if kind == "best" else "best"
        fault = "damaged" if self.path(kind).is_file() else "missing"
        way = f"Use the {other} one instead." if self.epoch(other) else f"The {other} one cannot be used either."
        return RunError(f"The {kind} checkpoint of run {self.folder.name} is {fault}. {way}")

    def load_resume(self, mmap: bool = False) -> ResumeState | None:
        """Return resume.pt, or None if there is none. With `mmap`, tensors are read from the disk on use.

        Raises RunError if it is damaged.
        """
        path = self.folder / "resume.pt"
        if not path.is_file():
            return None
        try:
            state: ResumeState = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
            int(state["epoch"])  # fails for other data
            return state
        except Exception as error:  # torch raises many types for a damaged file
            raise RunError(
                f"The resume.pt of run {self.folder.name} is damaged, so the run cannot resume. Start it again."
            ) from error

    def commit_epoch(self, state: ResumeState, history: Sequence[HistoryRow], keep_every: int = 0) -> None:
        """Save a completed epoch, whose figures are the last row of `history`. Replacing resume.pt at the end is the commit."""
        epoch, best = state["epoch"], state["best"]
        if history:
            append_row(self.folder / "metrics.jsonl", history[-1])
        if best["epoch"] == epoch or not self.path("best").is_file():
            self.save("best", best["weights"], best["epoch"])
        self.save("last", state["weights"], epoch)
        if keep_every and epoch % keep_every == 0:
            self.save(f"epoch-{epoch:04d}", state["weights"], epoch)
        whole = {**state, "history": [to_json(row) for row in history]}
        # torch.save to a file would hide that the disk is full
        buffer = io.BytesIO()
        torch.save(whole, buffer)
        write_atomically(self.folder / "resume.pt", lambda file: file.write(buffer.getbuffer()))

    def roll_back(self, state: ResumeState) -> None:
        """Return metrics.jsonl and the weights to the epoch of a resume state."""
        epoch, best, metrics = state["epoch"], state["best"], self.folder / "metrics.jsonl"
        lines = state.get("history")
        if lines is None:
            lines = [to_json(row) for row in read_history(metrics) if row["epoch"] <= epoch]
        write_atomically(metrics, "".join(f"{line}\n" for line in lines).encode())
        self.save("best", best["weights"], best["epoch"])
        self.save("last", state["weights"], epoch)
        for saved, name in self.saved_epochs().items():
            if saved > epoch:
                self.path(name).unlink()


def epoch_of(metadata: Mapping[str, str] | None) -> int:
    """Return the epoch in a checkpoint's metadata. Raises ValueError if it is missing or impossible."""
    epoch = int((metadata or {}).get("epoch", ""))
    if not 0 <= epoch <= LARGEST_EPOCH:
        raise ValueError(f"{epoch} is no epoch")
    return epoch


@cached_on_file(maxsize=4096)
def _read_epoch(path: Path) -> int:
    with safe_open(path, framework="pt") as file:
        return epoch_of(file.metadata())
