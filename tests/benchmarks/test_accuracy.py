"""Trainings that go on where they were cut off, and the rows they become."""

import json
import signal
import sys

import pytest
import torch
from PIL import Image

from benchmarks import accuracy, rows
from expertnet.errors import UserError
from expertnet.network.model import Classifier
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import format_value
from expertnet.store.run_store import RunStore
from expertnet.training.optim import make_optimizers
from expertnet.training.runner import run_training
from expertnet.training.start import prepare_resume
from expertnet.training.stop import Stop
from tests.support import small


class CutOff(Stop):
    """Interrupts a training in its second epoch."""

    interrupted = True

    def __init__(self, store):
        super().__init__()
        self.store = store

    def is_set(self):
        return any(run.metrics() for run in self.store.list())


@pytest.fixture
def folder(tmp_path):
    """Two classes of eight images."""
    generator = torch.Generator().manual_seed(0)
    for part in ("train", "test"):
        for label, color in enumerate(("red", "blue")):
            path = tmp_path / "colors" / part / color
            path.mkdir(parents=True)
            for number in range(8):
                pixels = torch.randint(0, 120, (8, 8, 3), generator=generator)
                pixels[:, :, 2 * label] += 100
                Image.fromarray(pixels.to(torch.uint8).numpy()).save(path / f"{number}.png")
    return tmp_path / "colors"


@pytest.fixture
def run_main(monkeypatch, capsys):
    """Run the command, and return what it prints: `out` and `err`."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["accuracy", *map(str, words)])
        accuracy.main()
        return capsys.readouterr()

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


TINY = {
    "training.epochs": 2,
    "data.image_size": 8,
    "data.resolutions": (),
    "training.batch_size": 16,
    "data.validation_share": 0.0,
}
TINY |= {"model.num_blocks": 2, "model.pool_after": (2,), "model.widths": (24, 24), "model.expert_blocks": (2,)}
TINY |= {"hardware.device": "cpu", "hardware.precision": "fp32"}


@pytest.mark.slow
def test_a_training_that_was_cut_off_ends_as_one_that_was_not(folder, tmp_path):
    settings = build_settings("fast", str(folder), TINY)
    whole, cut = RunStore(tmp_path / "whole"), RunStore(tmp_path / "cut")
    one = accuracy.train(settings, "fast", "learned", whole, Stop())
    with pytest.raises(UserError, match="Interrupted. To resume"):
        accuracy.train(settings, "fast", "learned", cut, CutOff(cut))
    other = accuracy.train(settings, "fast", "learned", cut, Stop())
    assert cut.list()[0].id == other.id and len(cut.list()) == 1 and "Resumed after epoch 1" in other.log_tail()
    assert small.figures(one) == small.figures(other)
    found, again = (accuracy.measured(run, "fast", "learned", []) for run in (one, other))
    assert found["test_accuracy"] == again["test_accuracy"] and found["validation_accuracy"] is None
    assert 0 < found["evaluation_share"] < 1 and found["data"] == "colors"


def test_a_network_without_experts_goes_on_as_well(folder, tmp_path):
    def network(classes):
        body = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8))
        return accuracy.Peer(body, Classifier(8, classes))

    settings = build_settings(
        "fast", str(folder), TINY | {"training.optimizer": "adamw", "training.expert_dropout": 0.5}
    )
    stores = [RunStore(tmp_path / name) for name in ("whole", "cut")]
    whole, cut = (store.create(settings) for store in stores)
    assert run_training(whole, Stop(), network=network).state == "finished"
    assert run_training(cut, CutOff(stores[1]), network=network).state == "interrupted"
    prepare_resume(cut)
    assert run_training(cut, Stop(), network=network).state == "finished"
    assert small.figures(whole) == small.figures(cut) and len(small.figures(cut)) == 2


def test_a_resnet_takes_the_recipe_of_fast():
    """Muon for every kernel, norms without a scale whose biases have their own rate, and logits over the width."""
    settings = build_settings("fast")
    net = accuracy.resnet18(10, settings.model)
    kernels, rest = make_optimizers(net, settings.training, 2000)
    rates = {id(v): round(g["lr_share"] * 0.24 / 2000, 4) for g in rest.param_groups for v in g["params"]}
    convolutions = [module.weight for module in net.modules() if isinstance(module, torch.nn.Conv2d)]
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert [id(v) for g in kernels.param_groups for v in g["params"]] == [id(weight) for weight in convolutions]
    assert len(norms) == len(convolutions) == 20
    assert all(norm.momentum == 0.4 and not norm.weight.requires_grad for norm in norms)
    assert rates == {id(norm.bias): 0.0536 for norm in norms} | {id(net.classifier.head.weight): 0.67}
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.slow
def test_the_command_trains_what_is_missing_and_prints_tables(run_main, tmp_path):
    file = tmp_path / "rows.jsonl"
    options = ["--preset", "quick", "--data", "digits", "--rows", file, "--variant", "learned", "width"]
    options += [word for key, value in small.TINY.items() for word in ("--set", f"{key}={format_value(value)}")]
    run_main(*options, "--seeds", 1)
    text = run_main(*options, "--seeds", 2, "--all-images").out
    found = rows.read(file)
    seeds = [(variant, seed) for seed in (0, 1) for variant in ("learned", "width")]
    assert [(row["variant"], row["seed"]) for row in found] == seeds[:2] + seeds
    assert [row["validation_accuracy"] is None for row in found] == [False] * 2 + [True] * 4
    assert len(RunStore(file.with_suffix(".runs")).list()) == 6
    assert text.count("| width |") == 4 and "All training images; the last epoch" in text
    assert run_main(*options, "--seeds", 1).out == text and len(rows.read(file)) == 6
    assert str(tmp_path) not in file.read_text()
    assert json.loads(file.read_text().splitlines()[0])["processor"]


def test_a_training_is_not_repeated_and_the_command_says_so_but_one_on_a_gpu_does_not_count(run_main, tmp_path):
    file = tmp_path / "rows.jsonl"
    options = ["--preset", "quick", "--data", "digits", "--rows", file, "--seeds", 1]
    options += [word for key, value in small.TINY.items() for word in ("--set", f"{key}={format_value(value)}")]
    run_main(*options)
    (own,) = rows.read(file)
    took = f"{own['seconds'] / 60:.1f} minutes on {own['device']}"
    assert (
        f"learned, seed 0: already in {file}, {took}. To train again, use another --rows file.\n"
        in run_main(*options).err
    )

    gpu = own | {"device": "NVIDIA H100 80GB HBM3"}
    file.write_text(json.dumps(gpu) + "\n")
    assert "already in" not in run_main(*options).err
    assert [row["device"] for row in rows.read(file)] == [gpu["device"], own["device"]]


def test_a_run_on_a_gpu_is_not_resumed_on_a_cpu(tmp_path):
    store, settings = RunStore(tmp_path), small.settings()
    first = accuracy.train(settings, "quick", "learned", store, Stop())
    assert accuracy.train(settings, "quick", "learned", store, Stop()).id == first.id
    config = first.config()
    first.write_config(config | {"environment": config["environment"] | {"device": "NVIDIA H100 80GB HBM3"}})
    assert accuracy.train(settings, "quick", "learned", store, Stop()).id != first.id


def test_an_archive_of_the_copy_is_named_as_in_the_tables(tmp_path):
    assert accuracy.data_title(str(tmp_path / "cifar10-jpeg.tar.xz")) == "CIFAR-10 (JPEG copy)"
    assert accuracy.data_title("/data/CIFAR-10 (JPEG copy).tar.xz") == "CIFAR-10 (JPEG copy)"
    assert accuracy.data_title("digits") == "Digits"


def test_a_wrong_setting_is_one_sentence(run_main):
    with pytest.raises(SystemExit, match="`training.lr` must be"):
        run_main("--preset", "quick", "--data", "digits", "--set", "training.lr=-1")
