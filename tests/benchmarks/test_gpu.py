"""The benchmarks for a GPU, in miniature on a CPU."""

import json
import math
import sys
import time
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import plan, trainings
from benchmarks.gpu.bench import Bench, Rows
from benchmarks.gpu.correctness import WrongError, recording_error, recording_settings
from benchmarks.gpu.speed import WAYS, speed, way_settings
from benchmarks.gpu.tables import NOT_MEASURED, tables
from expertnet.data.datasets import Dataset
from expertnet.data.info import DatasetInfo
from expertnet.data.splits import Split
from expertnet.store.run_store import RunStore
from expertnet.training.recorder import WARM_UP
from expertnet.training.trainer import Trainer
from expertnet.utils.devices import available_threads
from tests.support.sizes import seen_sizes


@pytest.fixture
def folder(tmp_path):
    """Two classes of a few images."""
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", 12), ("test", 4)):
        for label, color in enumerate(("red", "blue")):
            path = tmp_path / "colors" / part / color
            path.mkdir(parents=True)
            for number in range(count):
                pixels = torch.randint(0, 120, (16, 16, 3), generator=generator)
                pixels[:, :, 2 * label] += 100
                Image.fromarray(pixels.to(torch.uint8).numpy()).save(path / f"{number}.png")
    return tmp_path / "colors"


@pytest.fixture
def call(tmp_path, folder, monkeypatch, capsys):
    """Run the command in miniature, and return its exit status and what it prints."""

    def run(*words):
        given = ["--rows", tmp_path / "rows.jsonl", "--device", "cpu", "--miniature", "--data", folder, *words]
        monkeypatch.setattr(sys, "argv", ["gpu", *map(str, given)])
        torch.set_num_threads(
            available_threads()
        )  # as in a process of its own; an earlier test may have left another number
        status = None
        try:
            command.main()
        except SystemExit as ended:
            status = ended.code
        return status, capsys.readouterr().out

    return run


@pytest.mark.long
def test_everything_is_measured_once_and_becomes_a_table(call, tmp_path):
    status, printed = call()
    assert status == 0, printed
    file = tmp_path / "rows.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    names = [line["row"] for line in lines]
    assert len(names) == len(set(names)) and names[:3] == ["correct report", "correct fast", "ceilings"]
    assert {plan.speed_name(preset, way) for preset in plan.PRESETS for way in WAYS} < set(names)
    assert {plan.training_name(network, "learned", 0) for network in plan.NETWORKS} < set(names)
    for line in lines:
        assert line["device"].startswith("CPU") and line["torch"] == torch.__version__ and line["n"] >= 1
        if line["row"].startswith(("speed", "train")):
            assert line["data"] == "colors" and len(line["images"]) == 32

    file.write_text(file.read_text() + '{"row": "cut o')  # as if the machine had been taken away
    status, printed = call()
    assert status == 0
    again = [line for line in printed.splitlines()[1:] if not line.endswith(": already measured")]
    assert [line.split(":")[0] for line in again] == names[:2]  # the code may have changed

    status, printed = call("--merge")
    assert status is None
    for preset in plan.PRESETS:
        assert all(f"| `{preset}` | {way} |" in printed for way in WAYS)
    assert NOT_MEASURED not in printed.replace(f"Live pages: {NOT_MEASURED}", "").replace(f"| {NOT_MEASURED} |\n", "")
    assert "### `fast`, colors" in printed and "within the limits of METHOD.md: `report`, `fast`." in printed


def test_a_device_that_computes_something_else_ends_it(call, tmp_path, monkeypatch):
    monkeypatch.setattr(Bench, "compiled", lambda self, network, **_: lambda images: 1.01 * network(images))
    status, printed = call()
    assert "float32, compiled: the logits differ by 0.01, the limit is 0.001" in status
    assert not (tmp_path / "rows.jsonl").exists() and len(printed.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fast", "max"])
@pytest.mark.parametrize("way", ["ordinary loop", "ordinary step", "recorded", "convolutions only"])
def test_every_speed_is_for_images_of_the_full_size(tmp_path, folder, preset, way):
    bench = Bench("cpu", str(folder), tmp_path / "runs", math.inf, True)
    assert bench.settings(preset).data.resolutions == (12, 14, 16)  # as the preset has smaller images at first
    settings = way_settings(bench, preset, way)
    with seen_sizes() as sizes:
        speed(bench, settings, preset, way)
    assert set(sizes) == {16}


class StandIn:
    """Takes the first steps as a recorder does, and then replays one: rightly, or without any change of the weights."""

    def __init__(self, trainer, rightly=True, records=True):
        self.trainer, self.rightly, self.records = trainer, rightly, records
        self.taken, self.recording = Counter(), False

    def __call__(self, images, labels):
        replays = self.records and self.taken[images.shape] == WARM_UP
        if not replays:
            self.taken[images.shape] += 1
        updater, smoothing = self.trainer.updater, self.trainer.settings.training.label_smoothing
        if self.rightly or not replays:
            for optimizer in updater.optimizers:
                optimizer.zero_grad()
            F.cross_entropy(updater.forward(images), labels, label_smoothing=smoothing).backward()
            for optimizer in updater.optimizers:
                optimizer.step()
        return torch.zeros(()), torch.zeros(()), torch.zeros(len(labels), 2)


@pytest.mark.slow
@pytest.mark.parametrize("preset", plan.PRESETS)
def test_a_recording_that_does_something_else_is_wrong(tmp_path, preset):
    def error(**how):
        trainer = Trainer(settings, data, log=pytest.fail)
        trainer.updater.recorder = StandIn(trainer, **how)
        return recording_error(trainer)

    settings = recording_settings(Bench("cpu", "none", tmp_path, math.inf, True), preset)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (8 * (WARM_UP + 2), 3, 16, 16), dtype=torch.uint8, generator=generator)
    split, half = Split(pixels, torch.arange(len(pixels)) % 2), (0.5, 0.5, 0.5)
    data = Dataset(DatasetInfo("noise", ("a", "b"), half, half, 16, "x"), split, split, split)
    assert error() < 1e-3
    with pytest.raises(WrongError, match="differ by 1, the limit is 0.1"):
        error(rightly=False)
    with pytest.raises(WrongError, match="taken without a recording"):
        error(records=False)
    settings = settings.model_copy(update={"data": settings.data.model_copy(update={"resolutions": (12, 16)})})
    with pytest.raises(WrongError, match="taken without a recording"):
        error(rightly=False)


def test_without_time_nothing_begins(call, tmp_path):
    status, printed = call("--minutes", "0")
    assert status == 0 and not (tmp_path / "rows.jsonl").exists()
    assert all(line.endswith(": no time left") for line in printed.splitlines()[1:])


def test_a_training_that_ran_out_of_time_goes_on(tmp_path, folder):
    def train(deadline):
        bench = Bench("cpu", str(folder), tmp_path / "trainings", deadline, True)
        return trainings.train(bench, trainings.training_settings(bench, "report", "learned", 0), "report", "learned")

    assert train(time.monotonic()) is None
    assert train(math.inf)["test_accuracy"] is not None
    assert len(RunStore(tmp_path / "trainings").list()) == 1


def test_a_row_from_before_a_setting_was_added_still_counts_and_one_of_another_recipe_does_not(tmp_path, folder):
    bench, rows = Bench("cpu", str(folder), tmp_path / "runs", math.inf, True), Rows(tmp_path / "rows.jsonl")
    (row,) = (row for row in plan.plan(bench) if row.name == "speed fast eager")
    assert not rows.has(row, bench)
    rows.add(row, bench, {})
    line = rows.read()[0]
    del line["settings"]["hardware"]["processes"], line["settings"]["training"]["patience"]
    rows.file.write_text(json.dumps(line))
    assert rows.has(row, bench)
    line["settings"]["training"]["lr"] *= 2
    rows.file.write_text(json.dumps(line))
    assert not rows.has(row, bench)


def test_without_a_gpu_it_says_so(call):
    if torch.cuda.is_available():
        pytest.skip("this computer has a GPU")
    status, printed = call("--device", "cuda")
    assert "this computer has no such device" in status and printed == ""


def test_what_was_not_measured_says_so():
    text = tables([])
    assert text.startswith("### Speed: GPU")
    rows = [f"| `{preset}` | every way | {NOT_MEASURED} |" for preset in plan.PRESETS]
    rows += [f"| `{network}` | {NOT_MEASURED} |" for network in plan.NETWORKS]
    assert all(row in text for row in rows)
    one = {"row": "speed fast eager", "device": "Card", "torch": "2", "data": "CIFAR-10", "images": "0" * 32, "n": 5}
    figures = {
        "images_per_second": 1000.0,
        "slowest": 900.0,
        "fastest": 1100.0,
        "first_step_seconds": 1.0,
        "peak_bytes": None,
    }
    text = tables([one | {"figures": figures}])
    assert f"| `fast` | compiled | {NOT_MEASURED} |" in text and f"| `report` | every way | {NOT_MEASURED} |" in text
    assert f"| `fast` | eager | 1,000 (900 to 1,100, n = 5) | {NOT_MEASURED} | 50.00 s |" in text
    other = one | {"data": "Copy", "images": "1" * 32, "figures": figures | {"images_per_second": 500.0}}
    text = tables([one | {"figures": figures}, other])  # neither takes the place of the other
    assert "| 50.00 s |" in text and "| 100.00 s |" in text and text.count("### Speed: Card") == 2
