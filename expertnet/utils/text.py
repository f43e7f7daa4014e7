"""Text for users: numbers in sentences, safe text from outside, and tables as CSV."""

import csv
import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import pandas as pd

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")  # spreadsheets run cells that begin with one of these
DIRECTION_CONTROLS = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")  # can reverse a line of text
JOINERS = "\u200c\u200d"  # invisible, but they change how the letters beside them are written


def percent(share: float | None, digits: int = 1) -> str:
    """Return 0.865 as "86.5%", and None as a dash."""
    return "–" if share is None else f"{share * 100:.{digits}f}%"


def points(difference: float) -> str:
    """Return the size of a difference between two shares in percentage points: -0.114 as "11.4 points"."""
    size = abs(difference) * 100
    return "under 0.1 points" if 0 < size < 0.05 else f"{size:.1f} points"


def signed(change: float, digits: int = 1) -> str:
    """Return a change in points with its sign, such as "-1.7", and never "-0.0"."""
    rounded = round(100 * change, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def bounds(low: float, high: float) -> str:
    """Return an interval of a change in points, such as "-1.7 to +0.3".

    It has more digits if an end that is not 0 would be rounded to 0, so that it does not seem to hold 0: "-0.21 to -0.03".
    """
    enough = (digits for digits in (1, 2, 3) if all(round(100 * end, digits) or not end for end in (low, high)))
    digits = next(enough, 1)
    return f"{signed(low, digits)} to {signed(high, digits)}"


def amount(value: float, unit: str) -> str:
    """Return a non-negative value with three decimals and its unit, such as "1.980 bits"."""
    return (f"under 0.001 {unit}" if value < 0.001 else f"{value:.3f} {unit}").rstrip()


def plural(number: float, one: str, many: str = "") -> str:
    """Return the word that agrees with a number: "block" or "blocks". An irregular one is given, such as "is" and "are"."""
    return one if number == 1 else many or f"{one}s"


def counted(number: int, noun: str, many: str = "") -> str:
    """Return a number with its noun: "1 image", "1,797 images". An irregular plural is given: "classes"."""
    return f"{number:,} {plural(number, noun, many)}"


def listed(parts: Iterable[str], comma: str = ",") -> str:
    """Return "a", "a and b", or "a, b and c". With a semicolon: "a; and b"."""
    *first, last = parts
    return f"{f'{comma} '.join(first)}{comma if comma == ';' else ''} and {last}" if first else last


def size_text(size: int) -> str:
    """Return bytes as "170 MB"."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return counted(size, "byte")


def duration(seconds: float | None) -> str:
    """Return seconds as "45 s", "3 min 20 s" or "2 h 5 min", and None as a dash."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def estimate(seconds: float) -> str:
    """Return an expected time, no more exact than an estimate is: "50 s", "15 min" or "2 h 10 min"."""
    if seconds < 90:
        return f"{max(round(seconds, -1), 10):.0f} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else duration(round(seconds / 600) * 600)


def time_text(created: str) -> str:
    """Return an ISO time as "24 Nov 2026, 14:05 UTC", and other text unchanged."""
    try:
        time = datetime.fromisoformat(created).astimezone(UTC)
    except (ValueError, OverflowError):
        return created
    return f"{time.day} {time:%b %Y, %H:%M} UTC"


def cut(text: str, longest: int) -> str:
    """Shorten text to at most `longest` characters, the last of them an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def did_you_mean(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return " Did you mean cifar10?" with the known word most like an unknown one, or "" if none is close."""
    found = get_close_matches(word[:80].lower(), list(known), 1, likeness)
    return f" Did you mean {found[0]}?" if found else ""


def printable(text: str, keep: str = "", sign: str = "?") -> str:
    """Replace every character that a terminal cannot print with `sign`, except those in `keep`."""
    return "".join(char if char.isprintable() or char in keep else sign for char in text)


def displayable(text: str, sign: str = "?") -> str:
    """Return `printable` text in which all spaces are plain ones and joiners stay, which Persian and Indic scripts need."""
    return printable("".join(" " if unicodedata.category(char) == "Zs" else char for char in text), JOINERS, sign)


def without_controls(text: str) -> str:
    """Remove control characters (except newlines and tabs), surrogates and changes of text direction."""
    return "".join(char for char in text if char in "\n\t" or not _is_control(char))


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs") or unicodedata.bidirectional(char) in DIRECTION_CONTROLS


def escape(text: str) -> str:
    """Escape text for st.markdown and other Markdown widgets, which then show it unchanged."""
    # Streamlit links URLs even between escaped characters, so an invisible word joiner (U+2060) splits them.
    text = re.sub(r"(?<=http:)(?=//)|(?<=https:)(?=//)|(?<=www)(?=\.)", "\u2060", text, flags=re.IGNORECASE)
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~$:&-])", r"\\\1", text.replace("\n", " "))


def escape_for_file(text: str) -> str:
    """Escape text for one line of a Markdown file, which any viewer then shows unchanged."""
    # Many viewers show a backslash before any other character. Links, formulas and strikethrough need HTML entities.
    text = re.sub(r"([\\`*_{}\[\]#])", r"\\\1", " ".join(text.split()))
    return re.sub(r"[<>&~$|@]|:(?=//)|(?<=www)\.", lambda sign: f"&#{ord(sign[0])};", text, flags=re.IGNORECASE)


def to_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV in which no text is a formula: an apostrophe is put before it."""

    def harmless(cell: Any) -> Any:
        return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_SIGNS) else cell

    # All text is quoted, because an unquoted carriage return in a file name starts a new row.
    return table.map(harmless).rename(columns=harmless).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
