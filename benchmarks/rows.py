"""The trainings that benchmarks.accuracy measured, and tables of them: python -m benchmarks.rows [FILE ...]

Prints the tables of docs/benchmarks.md from rows, by default from all in benchmarks/results. Means are with the standard
deviation over the seeds. A control is compared with `learned` by the paired differences of the seeds that both have: their
mean, its 95% interval (Student's t), and the smallest difference that this many seeds can detect with a probability of 80%.
"""

import argparse
import json
import math
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NotRequired, TypedDict

from expertnet.routing.retrained import Difference, difference
from expertnet.settings.fields import settings_from_dict
from expertnet.settings.schema import DataSettings, Settings, TrainingSettings
from expertnet.store.history import HistoryRow
from expertnet.utils.devices import is_cpu
from expertnet.utils.files import to_json, write_atomically
from expertnet.utils.text import counted

RESULTS = Path(__file__).parent / "results"
LEVELS = (0.80, 0.85, 0.87, 0.89, 0.90)  # accuracies whose time is measured
JPEG_COPY = "CIFAR-10 (JPEG copy)"
JPEG_NOTE = "On this copy, one recipe lost about 3.5 points against the original pixels."


class Row(TypedDict):
    """One training. Accuracies are fractions; None where a figure was not measured or not reached."""

    preset: str
    data: str  # title of the dataset
    variant: str
    seed: int
    changes: list[str]  # of the preset's settings, as KEY=VALUE
    settings: dict[str, Any]  # all, with the title instead of the path of the dataset
    parameters: int
    validation_accuracy: float | None  # best epoch; None without validation images
    test_accuracy: float  # one view
    test_accuracy_mirrored: float | None
    test_accuracy_views: float | None  # six views
    seconds: float  # of training, with evaluation
    evaluation_share: float  # of the seconds of all epochs
    minutes_to: dict[str, float | None]  # by accuracy, such as "87%"
    processor: str
    device: str
    precision: NotRequired[str]  # of the convolutions, such as bfloat16; older rows lack it
    torch: str
    revision: str | None  # of the code


def file_of(what: str, title: str) -> Path:
    """Return the file of the rows of a benchmark on a dataset."""
    return RESULTS / (re.sub(r"\W+", "-", f"{what}-{title.lower()}").strip("-") + ".jsonl")


def read(file: Path) -> list[Row]:
    """Return the rows of a file, without damaged lines; none if there is no file."""
    rows: list[Row] = []
    for line in file.read_text().splitlines() if file.exists() else ():
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def add(file: Path, row: Row) -> None:
    """Add a row to a file, which a kill at any instant leaves intact."""
    lines = [to_json(each) for each in (*read(file), row)]
    write_atomically(file, "".join(f"{line}\n" for line in lines).encode())


def find(rows: Iterable[Row], variant: str, settings: Settings, on_cpu: bool) -> Row | None:
    """Return the row of a training on a CPU, or on a GPU. Settings that are newer than the row have their defaults there."""
    for row in rows:
        same = row["variant"] == variant and is_cpu(row["device"]) == on_cpu
        if same and settings_from_dict(row["settings"]) == settings:
            return row
    return None


def minutes_to(history: Sequence[HistoryRow]) -> dict[str, float | None]:
    """Return the minutes until the validation accuracy first reached each of LEVELS; None if it never did.

    Without validation images, it is the test accuracy.
    """
    seconds, reached = 0.0, dict.fromkeys(LEVELS, None) | {}
    for epoch in history:
        seconds += epoch["seconds"] or 0
        for level in LEVELS:
            if reached[level] is None and (epoch["val_accuracy"] or 0) >= level:
                reached[level] = seconds / 60
    return {f"{level:.0%}": minutes for level, minutes in reached.items()}


# --- tables ----------------------------------------------------------------------------------------------------------


Variants = dict[str, dict[int, Row]]  # by variant and seed
Recipes = dict[tuple[str, DataSettings, TrainingSettings], Variants]  # by title and settings


def tables(rows: Iterable[Row]) -> str:
    """Return the accuracies and the times of rows as Markdown: a table for each recipe, and one of minutes for all."""
    recipes: Recipes = {}
    for row in rows:
        own = settings_from_dict(row["settings"])  # the preset may have changed since
        variants = recipes.setdefault((_title(row), own.data, own.training), {})
        variants.setdefault(row["variant"], {})[row["seed"]] = row  # the last one counts
    parts = []
    for (title, *_), variants in recipes.items():
        parts += [f"### {title}", _accuracies(variants), _caption(variants)]
    return "\n\n".join([*parts, "### Minutes to an accuracy", _minutes(recipes)])


def _title(row: Row) -> str:
    """Name a recipe: preset, changes, data and hardware."""
    changes = f" with {', '.join(f'`{change}`' for change in row['changes'])}" if row["changes"] else ""
    return f"`{row['preset']}`{changes}, {row['data']}, {row['device']}"


def _accuracies(variants: Variants) -> str:
    rows = []
    for variant, by_seed in variants.items():
        found = list(by_seed.values())
        learned = variants.get("learned", {})
        both = [] if variant == "learned" else sorted(learned.keys() & by_seed.keys())
        compared = difference([by_seed[seed]["test_accuracy"] - learned[seed]["test_accuracy"] for seed in both])
        rows.append(
            [
                variant,
                str(len(found)),
                f"{found[0]['parameters'] / 1e6:.3f} M",
                *(
                    _spread([row[key] for row in found])
                    for key in ("validation_accuracy", "test_accuracy", "test_accuracy_views")
                ),
                _duration([(row, row["seconds"] / 60) for row in found]),
                *(_points(compared) if compared else ("", "", "")),
            ]
        )
    heads = ["Variant", "Seeds", "Parameters", "Validation", "Test", "Test, six views", "Minutes"]
    heads += ["Difference from learned, in points", "95% interval", "Smallest detectable"]
    return markdown(heads, rows)


def _points(compared: Difference) -> tuple[str, str, str]:
    low, high = compared.low * 100, compared.high * 100
    return f"{compared.mean * 100:+.2f}", f"{low:+.2f} to {high:+.2f}", f"{compared.smallest * 100:.2f}"


def _caption(variants: Variants) -> str:
    rows = [row for by_seed in variants.values() for row in by_seed.values()]
    settings = settings_from_dict(rows[0]["settings"])
    machines = "; ".join(sorted({f"{row['processor']}, {row['device']}, torch {row['torch']}" for row in rows}))
    chosen = (
        "All training images; the last epoch, with no checkpoint selection."
        if settings.watches_test
        else "The validation images chose the epoch; the test images were measured once."
    )
    note = f" {JPEG_NOTE}" if rows[0]["data"] == JPEG_COPY else ""
    evaluation = max(row["evaluation_share"] for row in rows)
    epochs = counted(settings.training.epochs, "epoch")
    return f"{epochs} on {machines}, of which evaluation took at most {evaluation:.1%}. {chosen}{note}"


def _minutes(recipes: Recipes) -> str:
    """Return the minutes to each accuracy, the mean of the seeds that reached it, and how many did if not all."""
    rows = []
    for (title, *_), variants in recipes.items():
        for variant, by_seed in variants.items():
            cells = []
            for level in LEVELS:
                times = [(row, _minutes_to(row, level)) for row in by_seed.values()]
                reached = [(row, time) for row, time in times if time is not None]
                share = "" if len(reached) == len(times) else f" ({len(reached)} of {len(times)})"
                cells.append(f"{_duration(reached)}{share}" if reached else "not reached")
            rows.append([title, variant, *cells, _duration([(row, row["seconds"] / 60) for row in by_seed.values()])])
    return markdown(["Recipe", "Variant", *(f"{level:.0%}" for level in LEVELS), "All epochs"], rows)


def _duration(minutes: Sequence[tuple[Row, float]]) -> str:
    """Return the mean of minutes, or the lowest and the highest on different processors, whose mean would say nothing."""
    values = [value for _, value in minutes]
    if len({row["processor"] for row, _ in minutes}) > 1:
        return f"{min(values):.1f} to {max(values):.1f}"
    return f"{mean(values):.1f}"


def _minutes_to(row: Row, level: float) -> float | None:
    """Return the minutes to an accuracy: to an epoch, or to the final test, which measures images that epochs may leave out."""
    minutes = row["minutes_to"].get(f"{level:.0%}")
    if minutes is None and row["validation_accuracy"] is None and row["test_accuracy"] >= level:
        return row["seconds"] / 60
    return minutes


def _spread(values: Sequence[float | None]) -> str:
    """Return the mean and the standard deviation of accuracies; "" unless all were measured."""
    measured = [value for value in values if value is not None and math.isfinite(value)]
    if len(measured) < len(values):
        return ""
    return f"{mean(measured):.2%}" + (f" ± {stdev(measured):.2%}" if len(measured) > 1 else "")


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    files = parser.parse_args().files or sorted(RESULTS.glob("accuracy-*.jsonl"))
    if missing := [str(file) for file in files if not file.exists()]:
        parser.error(f"There is no file {', '.join(missing)}.")
    print(tables(row for file in files for row in read(file)))


if __name__ == "__main__":
    main()
