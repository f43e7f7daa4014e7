"""The statistics of several seeds against answers on paper, and the files of rows."""

import math

import pytest

from benchmarks import rows
from expertnet.settings.fields import build_settings

SETTINGS = build_settings("quick", "digits")


def row(variant="learned", seed=0, test=0.8, **values):
    settings = SETTINGS.model_copy(update={"seed": seed}).model_dump(mode="json")
    return {
        "preset": "quick",
        "data": "Digits",
        "variant": variant,
        "seed": seed,
        "changes": [],
        "settings": settings,
        "parameters": 113_000,
        "validation_accuracy": 0.7,
        "test_accuracy": test,
        "test_accuracy_mirrored": None,
        "test_accuracy_views": None,
        "seconds": 120.0,
        "evaluation_share": 0.04,
        "minutes_to": {"80%": 1.5, "85%": None},
        "processor": "AMD EPYC (AVX2)",
        "device": "CPU, 2 threads",
        "torch": "2.14",
        "revision": None,
    } | values


def test_the_interval_of_three_differences_on_paper():
    """With two degrees of freedom, Student's t has the distribution 1/2 + t / (2 sqrt(2 + t^2)), so 97.5% lie below 4.3027."""
    quantile = math.sqrt(2 * 0.95**2 / (1 - 0.95**2))
    found = rows.difference([0.01, 0.02, 0.06])
    error = math.sqrt((0.02**2 + 0.01**2 + 0.03**2) / 2) / math.sqrt(3)
    assert found.mean == pytest.approx(0.03)
    assert (found.low, found.high) == pytest.approx((0.03 - quantile * error, 0.03 + quantile * error))
    assert found.smallest == pytest.approx(rows.smallest_in_errors(3) * error)
    assert rows.difference([0.01]) is None and rows.difference([]) is None


def test_the_smallest_difference_of_three_pairs_has_the_power_on_paper():
    """For two degrees of freedom, Owen (1968) gives the noncentral t distribution in closed form."""

    def below(t, shift):
        a, b = t / math.sqrt(2), 2 / (2 + t * t)
        normal = lambda x: math.erfc(-x / math.sqrt(2)) / 2  # noqa: E731
        density = math.exp(-(shift**2) * b / 2) / math.sqrt(2 * math.pi)
        return normal(-shift) + math.sqrt(2 * math.pi) * a * math.sqrt(b) * density * normal(shift * a * math.sqrt(b))

    quantile, shift = math.sqrt(2 * 0.95**2 / (1 - 0.95**2)), rows.smallest_in_errors(3)
    assert 1 - below(quantile, shift) + below(-quantile, shift) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize(("pairs", "size"), [(199, 0.2), (34, 0.5), (15, 0.8)])
def test_as_many_pairs_as_cohens_tables_ask_for(pairs, size):
    """Cohen (1988): so many pairs show a difference of so many standard deviations, and one pair fewer does not."""
    assert rows.smallest_in_errors(pairs) / pairs**0.5 <= size < rows.smallest_in_errors(pairs - 1) / (pairs - 1) ** 0.5


def test_two_pairs_show_only_a_large_difference():
    assert rows.smallest_in_errors(2) == pytest.approx(16.3, abs=0.2)  # one degree of freedom: 12.71 * 1.28


def test_minutes_are_those_of_the_first_epoch_that_reached_an_accuracy():
    history = [
        {"seconds": 60.0, "val_accuracy": 0.7},
        {"seconds": 30.0, "val_accuracy": 0.86},
        {"seconds": 30.0, "val_accuracy": 0.84},
        {"seconds": 60.0, "val_accuracy": 0.87},
    ]
    assert rows.minutes_to(history) == {"80%": 1.5, "85%": 1.5, "87%": 3.0, "89%": None, "90%": None}


def test_rows_survive_a_torn_line_and_settings_that_are_newer(tmp_path):
    file = tmp_path / "rows.jsonl"
    old = row()
    del old["settings"]["training"]["ema"]  # as if it had been added since
    rows.add(file, old)
    file.write_text(file.read_text() + '{"preset": "qu')
    rows.add(file, row(seed=1))
    assert [each["seed"] for each in rows.read(file)] == [0, 1]
    assert rows.find(rows.read(file), "learned", SETTINGS) == old
    assert rows.find(rows.read(file), "uniform", SETTINGS) is None
    assert rows.find(rows.read(file), "learned", SETTINGS.model_copy(update={"seed": 2})) is None


def test_rows_from_before_a_preset_changed_have_a_table_of_their_own():
    old, new = row(test=0.5), row("uniform", test=0.9)
    old["settings"]["training"]["epochs"] += 1
    text = rows.tables([old, row(test=0.8), new])
    assert text.count("| learned | 1 |") == 2 and text.count("| uniform | 1 |") == 1
    assert "13 epochs on" in text and "12 epochs on" in text


def test_tables():
    text = rows.tables(
        [
            *(row(seed=seed, test=test) for seed, test in enumerate((0.80, 0.82, 0.84))),
            *(row("uniform", seed, test) for seed, test in enumerate((0.79, 0.80, 0.78))),
            row("width", 7),
            row(data=rows.JPEG_COPY, changes=["training.epochs=2"], minutes_to={"80%": None}),
        ]
    )
    lines = text.splitlines()
    learned = next(line for line in lines if line.startswith("| learned"))
    assert "| 3 | 0.113 M | 70.00% ± 0.00% | 82.00% ± 2.00% |  | 2.0 |  |  |  |" in learned
    uniform = next(line for line in lines if line.startswith("| uniform"))
    assert "| 79.00% ± 1.00% |  | 2.0 | -3.00 | -9.57 to +3.57 | " in uniform  # -1, -2 and -6 points
    assert next(line for line in lines if line.startswith("| width")).endswith("| 2.0 |  |  |  |")
    assert text.count(rows.JPEG_NOTE) == 1
    times = text.partition("### Minutes to an accuracy")[2].splitlines()
    assert "| `quick`, Digits | learned | 1.5 | not reached | not reached | not reached | not reached | 2.0 |" in times
    assert "with `training.epochs=2`" in times[-1] and times[-1].count("not reached") == 5
