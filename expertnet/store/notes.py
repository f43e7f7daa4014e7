"""The name, tags and note that users give a run, in notes.json.

They have their own file because config.json has one writer, the process that trains. A file is not trusted: values of
another type count as empty, and long ones are cut.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from expertnet.errors import RunError
from expertnet.utils.files import read_json, to_json, write_atomically
from expertnet.utils.text import without_controls

NOTES_FILE = "notes.json"
MAX_NAME, MAX_TAG, MAX_NOTE = 80, 40, 4000  # characters
MAX_TAGS = 20
SWEEP_TAG = "sweep"  # of the runs that a sweep starts
MAX_NOTES_BYTES = 1 << 16  # of the file, a little more than these limits allow


@dataclass(frozen=True)
class Notes:
    """What users say about a run."""

    name: str = ""  # empty: the name in config.json
    tags: tuple[str, ...] = ()
    note: str = ""


def check_limits(notes: Notes) -> None:
    """Raise RunError if notes exceed the limits."""
    tags = [(f"The tag “{tag[:MAX_TAG]}…”", tag, MAX_TAG) for tag in notes.tags]
    for what, text, most in (("The name", notes.name, MAX_NAME), *tags, ("The note", notes.note, MAX_NOTE)):
        text = text.strip()
        if len(text) > most:
            raise RunError(f"{what} has {len(text):,} characters. Shorten it to at most {most:,}.")
    if len(notes.tags) > MAX_TAGS:
        raise RunError(f"A run can have at most {MAX_TAGS} tags. This would make {len(notes.tags):,}.")


def read_notes(folder: Path) -> Notes:
    """Return the notes in a run's folder, empty if the file is missing or damaged."""
    path = folder / NOTES_FILE
    try:
        return _clean(read_json(path)) if path.stat().st_size <= MAX_NOTES_BYTES else Notes()
    except (OSError, ValueError):
        return Notes()


def write_notes(folder: Path, notes: Notes, sync: bool = True) -> None:
    """Write notes, cut to the limits. Use Run.annotate to change those of a run."""
    write_atomically(folder / NOTES_FILE, to_json(asdict(_clean(asdict(notes)))).encode(), sync)


def split_tags(text: str) -> tuple[str, ...]:
    """Return the tags in a comma-separated text, without limits. Tags that differ only in case count once."""
    return _tags(text.split(","))


def with_tags(notes: Notes, tags: Iterable[str]) -> Notes:
    """Add tags. The spelling of existing ones stays."""
    return replace(notes, tags=_tags([*notes.tags, *tags]))


def without_tags(notes: Notes, tags: Iterable[str]) -> Notes:
    removed = {tag.casefold() for tag in tags}
    return replace(notes, tags=tuple(tag for tag in notes.tags if tag.casefold() not in removed))


def _clean(record: dict[str, Any]) -> Notes:
    tags = record.get("tags")
    cleaned = _tags(tags if isinstance(tags, list | tuple) else (), MAX_TAG)[:MAX_TAGS]
    return Notes(one_line(record.get("name"), MAX_NAME), cleaned, _text(record.get("note"), MAX_NOTE).strip())


def _tags(values: Iterable[Any], longest: int = MAX_NOTES_BYTES) -> tuple[str, ...]:
    tags: dict[str, str] = {}
    for value in values:
        tag = one_line(value.replace(",", " ") if isinstance(value, str) else "", longest)
        if tag:
            tags.setdefault(tag.casefold(), tag)
    return tuple(tags.values())


def one_line(value: Any, limit: int) -> str:
    """Return a name or a tag in one line of at most `limit` characters, without control characters."""
    return " ".join(_text(value, MAX_NOTES_BYTES).split())[:limit].rstrip()


def _text(value: Any, limit: int) -> str:
    return without_controls(value)[:limit] if isinstance(value, str) else ""
