"""Read the files of a run's folder.

A file that is missing, damaged or from another version raises RunError, which says what the run can still be used for.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from expertnet.data.info import DatasetInfo
from expertnet.errors import RunError, SettingsError
from expertnet.settings.fields import settings_from_dict
from expertnet.settings.schema import DataSettings, Settings
from expertnet.store.history import is_number
from expertnet.store.status import Status
from expertnet.utils.files import cached_on_file, read_json

LOG_BYTES = 20_000  # of the end of a log, which is all that is read

T = TypeVar("T")


def read_config(folder: Path) -> dict[str, Any]:
    return _read(folder, "config.json", read_json)


def read_settings(folder: Path) -> Settings:
    try:
        return _read(folder, "config.json", _settings)
    except SettingsError as error:
        raise RunError(f"The settings of run {folder.name} come from another version: {error}") from None


def read_status(folder: Path) -> Status:
    """Return status.json as it was written, although its writer may have died since."""
    return _read(folder, "status.json", _status)


def read_dataset_info(folder: Path) -> DatasetInfo:
    """Return the description of the dataset, which the run writes once the images are loaded."""
    description = read_config(folder).get("dataset") or {}
    try:
        info = DatasetInfo.from_dict(description)
        figures = [*info.mean, *info.std]
        if not info.classes or len(figures) != 6 or not all(map(is_number, figures)):
            raise ValueError("incomplete")
        DataSettings(image_size=info.image_size)  # larger images would fill the memory
        return info
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise RunError(
            f"The dataset in the config.json of run {folder.name} is damaged, so its classes are unknown. "
            + ("Resume training to restore it." if can_restore(folder) else "Start a new run with its settings.")
        ) from None


def can_restore(folder: Path) -> bool:
    """Return whether resuming could write damaged files again."""
    return (folder / "resume.pt").is_file()


def read_log(folder: Path, lines: int) -> str:
    """Return the last lines of log.txt, extended to the start of their entry, which begins with a date."""
    try:
        with (folder / "log.txt").open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - LOG_BYTES, 0))
            found = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    start = max(len(found) - lines, 0)
    while start and not found[start][:4].isdigit():
        start -= 1
    return "\n".join(found[start:])


@cached_on_file(maxsize=1024)
def _settings(path: Path) -> Settings:
    return settings_from_dict(read_json(path))


@cached_on_file(maxsize=1024)
def _status(path: Path) -> Status:
    return Status.model_validate(read_json(path))


def _read(folder: Path, name: str, read: Callable[[Path], T]) -> T:
    try:
        return read(folder / name)
    except FileNotFoundError:
        what = f"Run {folder.name} has no {name}."
    except (OSError, ValueError):
        what = f"The {name} of run {folder.name} is damaged."
    if name == "config.json":
        raise RunError(f"{what} You can only delete the run.")
    raise RunError(
        f"{what} You can still use its curves and its network{' and resume training' if can_restore(folder) else ''}."
    )
