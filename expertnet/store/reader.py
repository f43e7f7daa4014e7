"""Reading a run: what its folder says, whatever has become of its files.

In this module: RunReader, which run_weights.py completes with the network and runs.Run with the writes, and sentence. Whoever
reads survives a torn last line, a missing file and a run from an older version.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from expertnet.data.datasets import DatasetInfo, dataset_title
from expertnet.errors import RunError, SettingsError
from expertnet.settings.fields import settings_from_dict
from expertnet.settings.schema import DataSettings, Settings
from expertnet.store.history import HistoryRow, is_number, read_figures, read_history
from expertnet.store.notes import Notes, read_notes
from expertnet.store.queue import RunQueue
from expertnet.store.status import Status
from expertnet.store.weights_files import CHECKPOINTS, Checkpoint, read_epoch
from expertnet.utils.files import read_json, version_of
from expertnet.utils.processes import is_alive

STOP = "stop"  # the file in a run's folder that asks whoever trains it to stop


class RunReader:
    """One run: a folder. Reads never raise on a torn or missing file, except config() and settings()."""

    def __init__(self, path: Path) -> None:
        self.path, self.id = path, path.name

    # -- reading

    def _read(self, name: str) -> dict[str, Any]:
        try:
            return read_json(self.path / name)
        except FileNotFoundError:
            raise RunError(f"Run {self.id} has no {name}; {self._without(name)}.") from None
        except (OSError, ValueError):
            raise RunError(f"The {name} of run {self.id} is damaged; {self._without(name)}.") from None

    def _without(self, name: str) -> str:
        """What can be done with it where that file cannot be read."""
        if name == "config.json":
            return "it cannot be used, only deleted"
        usable = "its curves and its network can still be used"
        return f"{usable}, and its training can go on" if self._goes_on else usable

    @property
    def _goes_on(self) -> bool:
        """Whether there is something to go on from, by which what is lost would be written anew."""
        return (self.path / "resume.pt").is_file()

    def config(self) -> dict[str, Any]:
        return self._read("config.json")

    def settings(self) -> Settings:
        self.config()  # says which file is missing or damaged
        path = self.path / "config.json"
        try:
            return _read_settings(path, version_of(path))
        except SettingsError as error:
            raise RunError(f"The settings of run {self.id} are of another version: {error}") from None

    def damage(self, epochs: Iterable[float] | None = None) -> str | None:
        """What cannot be read, and what can be done all the same, in one sentence; None for a sound run.

        `epochs` are those of its history, from who has read that already.
        """
        return sentence(lambda: self._look_through(self._epochs() if epochs is None else epochs))

    def _look_through(self, epochs: Iterable[float]) -> None:
        self.settings()
        self._dataset_info()
        epoch = self._status().epoch
        missing = epoch - sum(1 <= number <= epoch for number in epochs)
        if missing:
            raise RunError(
                f"The metrics.jsonl of run {self.id} is damaged: its curves lack {missing} of the epochs; "
                "its network can still be used."
            )
        kinds = self.checkpoints()
        for kind in ("best", *kinds) if kinds else ():
            if self.checkpoint_epoch(kind) is None:
                raise self.unusable_checkpoint(kind)

    def _epochs(self) -> Iterable[int]:
        """Those that its history has."""
        try:
            return read_figures(self.path / "metrics.jsonl")
        except OSError:
            return ()

    @property
    def has_settings(self) -> bool:
        """Whether its settings can be read; without them it can only be deleted."""
        return sentence(self.settings) is None

    def notes(self) -> Notes:
        """Its name, tags and note as they were changed after it was made."""
        return read_notes(self.path)

    @property
    def given_name(self) -> str:
        """What the person called it, last or at its start; empty where they did not."""
        return self.notes().name or self._config_value("name")

    @property
    def name(self) -> str:
        return self.given_name or self.id

    @property
    def title(self) -> str:
        """What people know it by: its name, or else its dataset and preset."""
        return self.given_name or (f"{self.dataset}, {self.preset or 'own settings'}" if self.dataset else self.id)

    @property
    def dataset(self) -> str:
        """What people call the dataset of its settings; empty where they cannot be read."""
        try:
            return dataset_title(self.settings().data.dataset)
        except RunError:
            return ""

    @property
    def created(self) -> str:
        return self._config_value("created") or ""

    @property
    def preset(self) -> str:
        return self._config_value("preset") or ""

    @property
    def shipped(self) -> bool:
        """Whether it came with the project, as an example that stays."""
        return bool(self._config_value("shipped"))

    @property
    def imported(self) -> bool:
        """Whether it was trained elsewhere and came as an export (run_imports.py)."""
        return bool(self._config_value("imported"))

    def card(self) -> str:
        """What a shipped network was made of, how good it is and how to repeat it, in Markdown; empty without one."""
        try:
            return (self.path / "card.md").read_text(encoding="utf-8") if self.shipped else ""
        except (OSError, UnicodeDecodeError):
            return ""

    @property
    def watches_test(self) -> bool:
        """Whether its val_* figures are of the test set; False where its settings cannot be read."""
        try:
            return self.settings().watches_test
        except RunError:
            return False

    @property
    def watched_images(self) -> str:
        """What the figures of an epoch are measured on."""
        return "test set" if self.watches_test else "validation images"

    def _config_value(self, key: str) -> str:
        try:
            return str(self.config().get(key) or "")
        except RunError:
            return ""

    def dataset_info(self) -> DatasetInfo | None:
        """What the run says of its dataset; None before the data was loaded, or where config.json is damaged."""
        try:
            return self._dataset_info()
        except RunError:
            return None

    def _dataset_info(self) -> DatasetInfo | None:
        described = self.config().get("dataset")
        if described is None and not self.checkpoints():
            return None
        try:
            info = DatasetInfo.from_dict(described or {})
            figures = [*info.mean, *info.std]
            if not info.classes or len(figures) != 6 or not all(map(is_number, figures)):
                raise ValueError("incomplete")
            DataSettings(image_size=info.image_size)  # images of any size would be made, and fill the memory
            return info
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            raise RunError(
                f"The dataset in the config.json of run {self.id} is damaged, so its network knows no classes; "
                + (
                    "going on with its training writes it anew."
                    if self._goes_on
                    else "start a new one from its settings."
                )
            ) from None

    def written_status(self) -> Status:
        """status.json as it was written: whoever wrote that it runs may be gone."""
        try:
            return self._status()
        except RunError as error:
            epoch, epochs = self._reached()
            return Status(state="failed", error=str(error), error_kind="other", epoch=epoch, epochs=epochs)

    def _reached(self) -> tuple[int, int]:
        """What config.json and metrics.jsonl say of how far it came."""
        epoch = max(self._epochs(), default=0)
        try:
            return epoch, self.settings().training.epochs
        except RunError:
            return epoch, epoch

    def status(self) -> Status:
        """status.json; a run whose process is gone is "interrupted"."""
        return self.as_of_now(self.written_status())

    def as_of_now(self, status: Status) -> Status:
        """A status that was written, with the state that it has come to since: "interrupted" where its writer is gone."""
        if status.active and not is_alive(status) and not self._waits(status):
            return status.changed(state="interrupted", activity="", seconds_left=None)
        if status.state == "running" and self.stop_asked():
            return status.changed(state="stopping")
        return status

    def _waits(self, status: Status) -> bool:
        """Whether it is in the queue, which outlives the process that put it there."""
        return status.state == "queued" and self.id in RunQueue(self.path.parent).ids()

    def _status(self) -> Status:
        try:
            return Status.model_validate(self._read("status.json"))
        except ValidationError:
            raise RunError(f"The status.json of run {self.id} is damaged; {self._without('status.json')}.") from None

    @property
    def state(self) -> str:
        return self.status().state

    def metrics(self) -> list[HistoryRow]:
        """The epochs in order; lines that are torn or no epochs are passed over."""
        path = self.path / "metrics.jsonl"
        try:
            return list(read_history(path, version_of(path)))
        except OSError:
            return []

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of its log, and what it takes to begin with a whole entry, which starts with its date."""
        try:
            with (self.path / "log.txt").open("rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - 20_000, 0))
                found = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        start = max(len(found) - lines, 0)
        while start and not found[start][:4].isdigit():
            start -= 1
        return "\n".join(found[start:])

    # -- checkpoints

    def checkpoint_path(self, kind: Checkpoint) -> Path:
        return self.path / f"{kind}.safetensors"

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Those that are there, whole or damaged."""
        return tuple(kind for kind in CHECKPOINTS if self.checkpoint_path(kind).is_file())

    def kept_epochs(self) -> dict[int, Checkpoint]:
        """The epochs whose weights were kept besides the best and the last (training.keep_every), in order."""
        names = sorted(path.stem for path in self.path.glob("epoch-*.safetensors"))
        return {int(name[6:]): name for name in names if name[6:].isdigit()}

    def checkpoint_epoch(self, kind: Checkpoint) -> int | None:
        """The epoch that a checkpoint is of, 0 for weights that have learned nothing; None where it cannot be read."""
        path = self.checkpoint_path(kind)
        try:
            return read_epoch(path, version_of(path))
        except OSError:
            return None

    def unusable_checkpoint(self, kind: Checkpoint) -> RunError:
        """What to say of one that is damaged, or is not there though the run has others."""
        other: Checkpoint = "last" if kind == "best" else "best"
        way = (
            f"the {other} one can be used instead" if self.checkpoint_epoch(other) else "nor can the other one be used"
        )
        what = "is damaged" if self.checkpoint_path(kind).is_file() else "is not there"
        return RunError(f"The {kind} checkpoint of run {self.name} {what}; {way}.")

    def stop_asked(self) -> str:
        """ "stop", "discard", or "" where nobody has asked."""
        try:
            return "discard" if (self.path / STOP).read_bytes() == b"discard" else "stop"
        except OSError:
            return ""


def sentence(look: Callable[[], object]) -> str | None:
    """What a look at a run finds wrong; None where nothing is."""
    try:
        look()
    except RunError as error:
        return str(error)
    return None


@lru_cache(maxsize=4096)
def _read_settings(path: Path, version: tuple[int, ...]) -> Settings:
    return settings_from_dict(read_json(path))
