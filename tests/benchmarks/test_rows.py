"""The files of rows, and their tables."""

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
    assert rows.find(rows.read(file), "learned", SETTINGS, on_cpu=True) == old
    assert rows.find(rows.read(file), "uniform", SETTINGS, on_cpu=True) is None
    assert rows.find(rows.read(file), "learned", SETTINGS.model_copy(update={"seed": 2}), on_cpu=True) is None


def test_a_training_on_a_gpu_does_not_stand_for_one_on_a_cpu():
    gpu, cpu = row(device="NVIDIA H100 80GB HBM3, five trainings at once"), row(device="CPU, 2 threads")
    assert rows.find([gpu], "learned", SETTINGS, on_cpu=True) is None
    assert rows.find([cpu], "learned", SETTINGS, on_cpu=False) is None
    assert rows.find([gpu, cpu], "learned", SETTINGS, on_cpu=True) is cpu
    assert rows.find([cpu, gpu], "learned", SETTINGS, on_cpu=False) is gpu


def test_rows_from_before_a_preset_changed_have_a_table_of_their_own():
    old, new = row(test=0.5), row("uniform", test=0.9)
    old["settings"]["training"]["epochs"] += 1
    text = rows.tables([old, row(test=0.8), new])
    assert text.count("| learned | 1 |") == 2 and text.count("| uniform | 1 |") == 1
    assert "13 epochs on" in text and "12 epochs on" in text


def test_hardware_has_a_table_of_its_own():
    text = rows.tables([row(test=0.8), row(test=0.9, seconds=6.0) | {"device": "GPU"}])
    assert text.count("| learned | 1 |") == 2
    assert "### `quick`, Digits, CPU, 2 threads\n" in text and "### `quick`, Digits, GPU\n" in text


def test_minutes_of_different_processors_have_no_mean():
    other = row(seed=1, seconds=180.0, minutes_to={"80%": 2.5, "85%": 3.0}) | {"processor": "Intel Xeon (AMX)"}
    text = rows.tables([row(), other])
    accuracies, times = (line for line in text.splitlines() if "learned |" in line)
    assert "| 2.0 to 3.0 |" in accuracies
    assert "| 1.5 to 2.5 | 3.0 (1 of 2) |" in times and times.endswith("| 2.0 to 3.0 |")


def test_a_file_that_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["rows", "nowhere.jsonl"])
    with pytest.raises(SystemExit, match="2"):
        rows.main()
    assert "There is no file nowhere.jsonl." in capsys.readouterr().err


def test_tables():
    text = rows.tables(
        [
            *(row(seed=seed, test=test) for seed, test in enumerate((0.80, 0.82, 0.84))),
            *(row("uniform", seed, test) for seed, test in enumerate((0.79, 0.80, 0.78))),
            row("width", 7),
            row(data=rows.JPEG_COPY, changes=["training.epochs=2"], minutes_to={"80%": None}),
            # 80% of all test images, but not of those measured after an epoch
            row(test=0.8, changes=["without validation"], minutes_to={"80%": None}, validation_accuracy=None),
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
    assert (
        "| `quick`, Digits, CPU, 2 threads | learned | 1.5 | not reached | not reached | not reached | not reached | 2.0 |"
        in times
    )
    assert "with `training.epochs=2`" in times[-2] and times[-2].count("not reached") == 5
    assert "| learned | 2.0 | not reached |" in times[-1]
