"""What a person says of a run after it was made: its name, tags and a note, in a file of their own, notes.json.

In this module: Notes, too_long, read_notes, write_notes, split_tags, with_tags, without_tags. config.json has one writer, the
process that trains, so that what is typed while it trains is never lost. What is read is not trusted: a wrong type counts as
empty, and what is too long is cut; of what is typed too_long says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expertnet.utils.files import read_json, to_json, write_atomically
from expertnet.utils.text import without_controls

FILE = "notes.json"
NAME, TAG, TAGS, NOTE = 80, 40, 20, 4000  # characters of a name and of a tag, tags of a run, characters of a note
LARGEST = 1 << 16  # bytes, somewhat more than the limits above can fill


@dataclass(frozen=True)
class Notes:
    name: str = ""  # empty: the name it was started with
    tags: tuple[str, ...] = ()
    note: str = ""


def too_long(notes: Notes) -> str:
    """A sentence where they are beyond the limits; empty where they can be kept as they are."""
    for what, text, most in (
        ("The name", notes.name.strip(), NAME),
        *((f"The tag “{tag[:TAG]}…”", tag, TAG) for tag in notes.tags),
        ("The note", notes.note.strip(), NOTE),
    ):
        if len(text) > most:
            return f"{what} has {len(text):,} characters; shorten it to at most {most:,}."
    if len(notes.tags) > TAGS:
        return f"That would be {len(notes.tags):,} tags; a run has at most {TAGS}."
    return ""


def read_notes(folder: Path) -> Notes:
    """The notes of a run's folder; empty ones where there are none that can be read."""
    path = folder / FILE
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return Notes()
        return _tidy(read_json(path))
    except (OSError, ValueError):
        return Notes()


def write_notes(folder: Path, notes: Notes) -> None:
    """Keeps them, cut to the limits. Run.annotate is the way to it, which refuses what is too long, or a run that stays as it is."""
    tidy = _tidy({"name": notes.name, "tags": list(notes.tags), "note": notes.note})
    write_atomically(folder / FILE, to_json({"name": tidy.name, "tags": tidy.tags, "note": tidy.note}).encode())


def split_tags(text: str) -> tuple[str, ...]:
    """Tags as typed, with commas between them, as long and as many as they are; each once, whatever its case."""
    return _tags(text.split(","))


def with_tags(notes: Notes, tags: Iterable[str]) -> Notes:
    """With these tags too. Those that a run already has stay as they are written."""
    return replace(notes, tags=_tags([*notes.tags, *tags]))


def without_tags(notes: Notes, tags: Iterable[str]) -> Notes:
    gone = {tag.casefold() for tag in tags}
    return replace(notes, tags=tuple(tag for tag in notes.tags if tag.casefold() not in gone))


def _tidy(record: dict[str, Any]) -> Notes:
    tags = record.get("tags")
    note = _text(record.get("note"), NOTE)
    kept = _tags(tags if isinstance(tags, list) else [], TAG)[:TAGS]
    return Notes(_line(record.get("name"), NAME), kept, note.strip())


def _tags(values: Iterable[Any], longest: int = LARGEST) -> tuple[str, ...]:
    kept: dict[str, str] = {}
    for value in values:
        tag = _line(value.replace(",", " ") if isinstance(value, str) else "", longest)
        if tag:
            kept.setdefault(tag.casefold(), tag)
    return tuple(kept.values())


def _line(value: Any, limit: int) -> str:
    return " ".join(_text(value, LARGEST).split())[:limit].rstrip()


def _text(value: Any, limit: int) -> str:
    return without_controls(value)[:limit] if isinstance(value, str) else ""
