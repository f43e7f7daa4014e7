"""`expertnet export`."""

import json
import os
import shutil

import pytest
from safetensors import safe_open

from expertnet.network.model import ExpertNet
from expertnet.store.run_store import RunStore
from expertnet.transfer import onnx_graph
from expertnet.utils.processes import this_process
from tests.support.command import command, document, refused


def test_a_network_has_its_config_in_the_metadata(trained, tmp_path):
    output = tmp_path / "net.safetensors"
    result = document("export", "latest", "--format", "safetensors", "--output", output, **trained.env)
    assert list(result) == ["run", "format", "output", "epoch"]
    with safe_open(output, framework="pt") as file:
        assert "classifier.head.weight" in file.keys()  # noqa: SIM118
        assert json.loads(file.metadata()["config"])["dataset"]["name"] == "digits"
        assert file.metadata()["epoch"] == str(result["epoch"])


def test_a_zip_holds_the_whole_run(trained, tmp_path):
    arguments = ("export", "latest", "--format", "zip", "--output", tmp_path / "run.zip")
    expected = {"run": trained.run.id, "format": "zip", "output": str(tmp_path / "run.zip")}
    assert document(*arguments, **trained.env) == expected
    assert "whole run" in refused(command(*arguments, "--checkpoint", "last", **trained.env))


def test_a_file_of_the_run_that_cannot_be_read_is_named_and_the_output_is_not_blamed(trained, tmp_path):
    store = tmp_path / "runs"
    folder = shutil.copytree(trained.run.path, store / trained.run.id)
    arguments = ("export", trained.run.id, "--runs-dir", store, "--format", "zip", "--output", tmp_path / "run.zip")
    unreadable = folder / "routing-last.safetensors"
    unreadable.mkdir()
    assert refused(command(*arguments)).startswith(f"{unreadable} cannot be read (Is a directory)")
    unreadable.rmdir()
    unreadable.symlink_to("gone")
    assert refused(command(*arguments)).startswith(f"{unreadable} cannot be read (No such file or directory)")
    assert not (tmp_path / "run.zip").exists()


def test_an_output_that_cannot_be_written_is_rejected(trained, tmp_path):
    arguments = ("export", "latest", "--format", "safetensors", "--output")
    assert "existing folder" in refused(command(*arguments, tmp_path / "no" / "x", **trained.env))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(command(*arguments, tmp_path / "pipe", **trained.env))


def test_an_output_is_checked_before_the_work_and_other_errors_are_not_blamed_on_it(trained, tmp_path):
    """A network is converted in seconds, and a page needs a cache, here below a file."""
    (tmp_path / "file").touch()
    arguments = ("export", "latest", "--format", "html", "--output")
    cache = trained.env | {"EXPERTNET_DATA": str(tmp_path / "file")}
    assert refused(command(*arguments, tmp_path / "no" / "p.html", **cache)).startswith(
        f"{tmp_path / 'no' / 'p.html'} cannot"
    )
    other = command(*arguments, tmp_path / "p.html", **cache)
    assert other.returncode == 2 and "p.html" not in other.stderr and str(tmp_path / "file") in other.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_folder_gets_the_network_its_settings_and_its_card(trained, tmp_path):
    arguments = ("export", "latest", "--format", "safetensors", "--output", tmp_path)
    assert document(*arguments, **trained.env)["epoch"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert ExpertNet.from_pretrained(tmp_path).info == trained.run.dataset_info()
    (tmp_path / "model.safetensors").unlink()  # as if the export had been cut off
    (tmp_path / ".DS_Store").touch()
    document(*arguments, **trained.env)
    assert (tmp_path / "model.safetensors").is_file()
    (tmp_path / "config.json").unlink()
    assert "other files" in refused(command(*arguments, **trained.env))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b'{"model_type": "bert", "hidden_size": 768}'),
        ("config.json", b'{"model": "convnext", "dataset": "imagenet"}'),
        ("config.json", b"[]"),
        ("config.json", b"\xff"),
        ("vocab.txt", b"words"),
    ],
)
def test_the_folder_of_another_network_is_not_overwritten(trained, tmp_path, name, content):
    """Other programs use the same three names."""
    arguments = ("export", "latest", "--format", "safetensors", "--output", tmp_path)
    document(*arguments, **trained.env)
    (tmp_path / name).write_bytes(content)
    (tmp_path / "README.md").write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert f"{tmp_path} has other files, perhaps a README.md. Choose an empty" in refused(
        command(*arguments, **trained.env)
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("format", ["safetensors", "zip"])
def test_a_run_in_training_says_that_its_weights_may_change(trained, tmp_path, format):
    shutil.copytree(trained.run.path, tmp_path / "runs" / trained.run.id)
    run = RunStore(tmp_path / "runs").get(trained.run.id)
    run.write_status(run.status().changed(state="running", process=this_process()))
    words = ("export", "latest", "--runs-dir", tmp_path / "runs", "--format", format, "--output", tmp_path / "file")
    done = command(*words, **trained.env)
    sentence = (
        f"is still in training. These are its weights of epoch {run.checkpoints.epoch('best')}. Until it ends, they"
    )
    assert done.returncode == 0 and sentence in done.stderr and done.stdout.startswith("Wrote ")


def test_a_card_is_markdown(trained, tmp_path):
    document("export", "latest", "--format", "card", "--output", tmp_path / "card.MD", **trained.env)
    text = (tmp_path / "card.MD").read_text()
    assert "# mine\n" in text and "(expected calibration error)" in text  # measured for the card


@pytest.mark.parametrize("format", ["onnx", "html"])
def test_packages_are_required_before_the_work(trained, tmp_path, monkeypatch, format):
    monkeypatch.setattr(onnx_graph, "PACKAGES", ("no_such", "onnx", "nor_this", "nor_that"))
    says = refused(command("export", "latest", "--format", format, "--output", tmp_path / "net", **trained.env))
    assert says.startswith("ONNX needs no_such, nor_this and nor_that, which are not installed. Run ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--format", "pickle", "--output", "x"], "'--format': 'pickle' is not one of 'safetensors', 'zip',"),
        (["--output", "x"], "--format"),
        (["--format", "safetensors"], "export --help"),
        (["--format", "card", "--precision", "int8", "--output", "x"], "--precision only with"),
        (
            ["--format", "card", "--output", "a.pdf"],
            "The output of --format card needs a name that ends in .md or .markdown.",
        ),
        (["--format", "onnx", "--output", "a.txt"], "ends in .zip or .onnx. You entered a.txt."),
        (["--format", "zip", "--output", "a.onnx"], "ends in .zip."),
        (["--format", "html", "--output", "a.pdf"], "ends in .html or .htm."),
        (["--format", "safetensors", "--output", "a.bin"], "ends in .safetensors."),
    ],
)
def test_wrong_arguments_are_rejected(trained, words, says):
    assert says in refused(command("export", "latest", *words, **trained.env))
