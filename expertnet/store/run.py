"""A run: a folder with its settings, status, history, checkpoints and log."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from expertnet.data.datasets import dataset_title
from expertnet.data.info import DatasetInfo
from expertnet.errors import RunError
from expertnet.settings.schema import Settings
from expertnet.store import reader
from expertnet.store.checkpoints import Checkpoints
from expertnet.store.history import HistoryRow, read_figures, read_history
from expertnet.store.notes import Notes, check_limits, read_notes, write_notes
from expertnet.store.queue import RunQueue
from expertnet.store.status import ACTIVE_STATES, Before, Status
from expertnet.utils.files import FULL, overwrite, to_json, write_atomically
from expertnet.utils.processes import is_alive

CONTROLS = "controls"  # the folder in an included run's folder
STOP = "stop"  # the file in a run's folder that asks its trainer to stop

T = TypeVar("T")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Run:
    """A run on disk. Of the methods that read, only `config` and `settings` raise RunError for a damaged file."""

    def __init__(self, path: Path) -> None:
        self.path, self.id = path, path.name
        self.checkpoints = Checkpoints(path)

    # -- settings and names

    def config(self) -> dict[str, Any]:
        return reader.read_config(self.path)

    def settings(self) -> Settings:
        return reader.read_settings(self.path)

    @property
    def has_settings(self) -> bool:
        """Return whether the settings can be read. A run without them can only be deleted."""
        return self._if_readable(self.settings) is not None

    def notes(self) -> Notes:
        return read_notes(self.path)

    @property
    def given_name(self) -> str:
        """Return the user's name for the run; "" if there is none."""
        return self.notes().name or self._config_value("name")

    @property
    def name(self) -> str:
        return self.given_name or self.id

    @property
    def title(self) -> str:
        """Return the user's name for the run, or else its dataset and preset."""
        return self.given_name or (f"{self.dataset}, {self.preset or 'own settings'}" if self.dataset else self.id)

    @property
    def dataset(self) -> str:
        """Return the title of the dataset; "" if the settings cannot be read."""
        settings = self._if_readable(self.settings)
        return dataset_title(settings.data.dataset) if settings else ""

    @property
    def created(self) -> str:
        return self._config_value("created")

    @property
    def preset(self) -> str:
        return self._config_value("preset")

    @property
    def shipped(self) -> bool:
        """Return whether this is an included example, which users cannot change or delete."""
        return bool(self._config_value("shipped"))

    @property
    def imported(self) -> bool:
        return bool(self._config_value("imported"))

    @property
    def trial(self) -> bool:
        """Return whether this is one of many runs, such as a trial of a sweep, at whose common end one notice is sent."""
        return bool(self._config_value("trial"))

    @property
    def control_of(self) -> str:
        """Return the id of the run for which a studio trains this trial as a control; "" for other trials and runs."""
        trial = (self._if_readable(self.config) or {}).get("trial")
        return trial if isinstance(trial, str) else ""

    def card(self) -> str:
        """Return the model card of a shipped run, in Markdown; "" for others."""
        try:
            return (self.path / "card.md").read_text(encoding="utf-8") if self.shipped else ""
        except (OSError, UnicodeDecodeError):
            return ""

    @property
    def watches_test(self) -> bool:
        """Return whether the val_* figures are measured on the test set; False if the settings cannot be read."""
        settings = self._if_readable(self.settings)
        return settings is not None and settings.watches_test

    @property
    def watched_images(self) -> str:
        """Return what the val_* figures are measured on, in words."""
        return "test images" if self.watches_test else "validation images"

    def _config_value(self, key: str) -> str:
        return str((self._if_readable(self.config) or {}).get(key) or "")

    def dataset_info(self) -> DatasetInfo | None:
        """Return the description of the dataset; None before the images were loaded, or if it is damaged."""
        return self._if_readable(lambda: reader.read_dataset_info(self.path))

    def controls(self) -> list["Run"]:
        """Return the controls in the folder of an included run: settings and results, without weights."""
        return [Run(path) for path in sorted((self.path / CONTROLS).glob("*"))]

    def _if_readable(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except RunError:
            return None

    # -- status and history

    @property
    def state(self) -> str:
        return self.status().state

    def status(self) -> Status:
        """Return the current status. A run whose process has died is "interrupted"."""
        return self.as_of_now(self.written_status())

    @property
    def tested_epoch(self) -> int | None:
        """The epoch whose weights the test figures of the status are of, if there are any."""
        return self.status().epoch if self.watches_test else self.status().best_epoch

    def written_status(self) -> Status:
        """Return status.json as it was written. If it is damaged, the state is "failed" and the progress that of the history."""
        try:
            return reader.read_status(self.path)
        except RunError as error:
            epoch = max(self.epochs(), default=0)
            epochs = self.settings().training.epochs if self.has_settings else epoch
            return Status(state="failed", error=str(error), error_kind="other", epoch=epoch, epochs=epochs)

    def as_of_now(self, status: Status) -> Status:
        """Update a written status: "interrupted" if its writer has died, "stopping" if a user asked the run to stop."""
        if status.state == "queued":  # the queue outlives the process that queued the run and has a minute to do so
            alive = RunQueue(self.path.parent).holds(self.id) or (status.is_fresh and is_alive(status))
        else:
            alive = not status.active or is_alive(status)
        if not alive:
            return status.changed(state="interrupted", activity="", seconds_left=None)
        if status.state == "running" and self.stop_asked():
            return status.changed(state="stopping")
        return status

    def metrics(self) -> list[HistoryRow]:
        """Return the history in order, without damaged lines."""
        return read_history(self.path / "metrics.jsonl")

    def epochs(self) -> Iterable[int]:
        """Return the epochs in the history, without reading the rest of it."""
        try:
            return read_figures(self.path / "metrics.jsonl")
        except OSError:
            return ()

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of the log, starting with a whole entry."""
        return reader.read_log(self.path, lines)

    # -- writing

    def write_config(self, config: Mapping[str, Any], sync: bool = True) -> None:
        write_atomically(self.path / "config.json", json.dumps(config, indent=2).encode(), sync)

    def write_status(self, status: Status, sync: bool = True) -> None:
        """Write status.json; on a full disk over the old one, so that the reason for a failure is not lost."""
        data = to_json(status.model_dump()).encode()
        try:
            write_atomically(self.path / "status.json", data, sync)
        except OSError as error:
            if error.errno not in FULL:
                raise
            overwrite(self.path / "status.json", data)

    def log(self, text: str) -> None:
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{now()}  {text}\n")

    def ask_to_stop(self, discard: bool = False) -> None:
        """Ask whichever process trains the run to stop. Raises RunError if none does."""
        if self.state not in ACTIVE_STATES:
            raise RunError(f"Run {self.title} is not training: it is {self.state}.")
        write_atomically(self.path / STOP, b"discard" if discard else b"stop")

    def stop_asked(self) -> str:
        """Return "stop" or "discard" if a user asked the run to stop, else ""."""
        try:
            return "discard" if (self.path / STOP).read_bytes() == b"discard" else "stop"
        except OSError:
            return ""

    def forget_stop(self) -> None:
        (self.path / STOP).unlink(missing_ok=True)

    def leave_queue(self, state: str) -> None:
        """Give a run that left the queue untrained its state: the one before it was queued to resume, or `state`."""
        status = self.written_status()
        own = {"state", "epochs", "error", "error_kind"}
        before = status.before or Before(**status.model_dump(include=own) | {"state": state})
        if status.before and self.has_settings:
            config = self.config()
            config = config | {"training": config["training"] | {"epochs": before.epochs}}
            if before.processes:
                config.pop("trial", None)
                config |= {"hardware": config.get("hardware", {}) | {"processes": before.processes}}
                config |= {"trial": before.trial} if before.trial else {}
            self.write_config(config)
        self.write_status(status.changed(**before.model_dump(include=own), before=None, activity="", seconds_left=None))

    def annotate(self, notes: Notes) -> None:
        """Change the name, tags and note, in any state. Raises RunError if that is not possible."""
        if self.shipped:
            raise RunError(f"“{self.title}” is an included example and cannot be changed.")
        if not self.path.is_dir():
            raise RunError(f"Run {self.id} no longer exists.")
        check_limits(notes)
        try:
            write_notes(self.path, notes)
        except OSError as error:
            raise RunError(f"The notes of run {self.id} could not be written: {error.strerror}.") from None
