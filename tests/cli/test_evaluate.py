"""`expertnet evaluate`."""

import base64
import json
import re
import shutil

import pytest
from PIL import Image

from expertnet.store.run_store import RunStore
from expertnet.utils.processes import this_process
from tests.support.command import command, document, refused


def test_the_document_agrees_with_the_training(trained):
    result = document("evaluate", "latest", **trained.env)
    accuracies = ["accuracy", "accuracy_mirrored", "accuracy_views"]
    assert list(result) == ["run", "dataset", *accuracies, "loss", "confusion", "classes", "own_images"]
    assert result["own_images"]
    assert result["accuracy"] == trained.document["test_accuracy"]
    correct = sum(row[number] for number, row in enumerate(result["confusion"]))
    assert correct / sum(map(sum, result["confusion"])) == pytest.approx(result["accuracy"])


def test_the_document_is_json_if_the_outputs_are_not_finite(trained, overflowing):
    done = command("evaluate", overflowing.id, "--json", "--runs-dir", overflowing.path.parent, **trained.env)
    assert done.returncode == 0 and json.loads(done.stdout, parse_constant=pytest.fail)["loss"] is None


def test_a_run_in_training_says_of_which_epoch_the_weights_are(trained, tmp_path):
    shutil.copytree(trained.run.path, tmp_path / "runs" / trained.run.id)
    run = RunStore(tmp_path / "runs").get(trained.run.id)
    sentence = f"Run {run.name} is still in training. These are its weights of epoch {run.status().best_epoch}."
    words = ("evaluate", "latest", "--runs-dir", tmp_path / "runs")
    assert "still in training" not in command(*words, **trained.env).stderr
    run.write_status(run.status().changed(state="running", process=this_process()))
    done = command(*words, **trained.env)
    assert done.returncode == 0 and sentence in done.stderr and done.stdout.startswith("Accuracy ")


@pytest.fixture
def moved(trained, tmp_path):
    """A copy of the run whose images were a folder that is gone, with its cache."""
    shutil.copytree(trained.run.path, tmp_path / "runs" / trained.run.id)
    run = RunStore(tmp_path / "runs").get(trained.run.id)
    config = run.config()
    facts = {"name": "pets", "fingerprint": "folder-0-8px-v2", "content": "0"}
    run.write_config(config | {"data": config["data"] | {"dataset": "pets"}, "dataset": config["dataset"] | facts})
    return run


def test_without_the_images_another_dataset_is_needed(moved):
    message = refused(command("evaluate", "latest", "--runs-dir", moved.path.parent))
    assert "'pets'" in message and "--dataset" in message
    message = refused(command("evaluate", "latest", "--validation", "--runs-dir", moved.path.parent))
    assert "'pets'" in message and "--dataset" not in message  # which --validation excludes


def test_without_the_images_a_network_whose_images_are_here_is_named(trained, moved):
    shutil.copytree(trained.run.path, moved.path.parent / "20200101-000000-abcd")
    message = refused(command("evaluate", "latest", "--runs-dir", moved.path.parent))
    assert "expertnet evaluate 20200101-000000-abcd" in message


def test_figures_of_other_images_say_so(moved):
    words = ("evaluate", "latest", "--dataset", "digits", "--runs-dir", moved.path.parent)
    result = document(*words)
    assert (result["dataset"], result["own_images"]) == ("digits", False)
    assert command(*words).stdout.splitlines()[-1] == (
        "Note: these are not the pets images that the run was trained and tested on."
    )


def test_changed_images_are_rejected(moved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in range(10):
        (tmp_path / "pets" / str(name)).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8), (number, name, 9)).save(tmp_path / "pets" / str(name) / f"{number}.png")
    message = refused(command("evaluate", "latest", "--runs-dir", moved.path.parent))
    assert "pets has changed since this run was trained: 1,797 images then, 20 now." in message


def test_a_dataset_with_other_classes_is_rejected(trained, tmp_path):
    for name in ("green", "red"):
        (tmp_path / "colors" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), name).save(tmp_path / "colors" / name / f"{number}.png")
    message = refused(command("evaluate", "latest", "--dataset", tmp_path / "colors", **trained.env))
    assert "(green, red)" in message


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["20200101-000000-0000"], "no run"),
        (["latest", "--checkpoint", "worst"], "'best'"),
        (["latest", "--dataset", ""], "`data.dataset` must be a built-in dataset"),
    ],
)
def test_wrong_arguments_are_rejected(trained, words, says):
    assert says in refused(command("evaluate", *words, **trained.env))


@pytest.fixture
def copied(trained):
    """The ID of a second run with the same network, and older."""
    folder = trained.run.path.with_name("20200101-000000-0000")
    shutil.copytree(trained.run.path, folder)
    yield folder.name
    shutil.rmtree(folder)


@pytest.mark.slow
def test_a_report_is_one_file_that_needs_no_other(trained, copied, tmp_path):
    file = tmp_path / "report.html"
    done = command("evaluate", "latest", "--validation", "--report", file, "--compare", copied, **trained.env)
    assert done.returncode == 0 and f"Wrote {file}." in done.stderr, done.stderr
    assert "on 143 validation images of digits" in done.stdout
    text = file.read_text()
    assert "chose the epoch of this network" in text and "only the first is right on 0" in text
    assert set(re.findall(r'(?:src|href)="(data:[^;,]+|[^"]*)', text)) == {
        "data:image/svg+xml",
        "data:image/png",
        "data:text/csv",
    }
    files = re.findall(r'href="data:text/csv;charset=utf-8;base64,([^"]+)" download="([^"]+)"', text)
    assert {"figures-validation.csv", "confusion-validation.csv", "robustness-validation.csv"} <= {
        name for _, name in files
    }
    accuracy = document("evaluate", "latest", "--validation", **trained.env)["accuracy"]
    figures = next(base64.b64decode(content).decode() for content, name in files if name == "figures-validation.csv")
    assert float(figures.splitlines()[1].split(",")[1]) == pytest.approx(accuracy)


@pytest.mark.slow
def test_a_report_on_another_dataset_is_about_its_images(trained, copied, tmp_path):
    for name in range(10):
        (tmp_path / "pets" / str(name)).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (number, name, 9)).save(tmp_path / "pets" / str(name) / f"{number}.png")
    words = ("evaluate", "latest", "--dataset", tmp_path / "pets", "--compare", copied)
    before = sorted(trained.run.path.iterdir())
    done = command(*words, "--report", tmp_path / "r.html", **trained.env)
    assert done.returncode == 0 and "on 10 test images of pets" in done.stdout, done.stderr
    text = (tmp_path / "r.html").read_text()
    assert "on 10 test images of pets. The second network is run" in text and "not images of digits" in text
    assert "Robustness by class" in text and "both are wrong" in text
    assert sorted(trained.run.path.iterdir()) == before  # these are not the run's own images


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--dataset", "digits", "--validation"], "--validation is for the images that the run was trained with"),
        (["--report", "/nowhere/r.html"], "Enter the name of a file in an existing folder"),
        (["--report", "r.pdf"], "The report needs a name that ends in .html or .htm. You entered r.pdf."),
        (["--compare", "latest"], "--compare adds to a report"),
    ],
)
def test_options_that_do_not_fit_are_rejected(trained, words, says):
    assert says in refused(command("evaluate", "latest", *words, **trained.env))
