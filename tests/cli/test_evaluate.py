"""`expertnet evaluate`."""

import shutil

import pytest
from PIL import Image

from expertnet.store.run_store import RunStore
from tests.support.command import command, document, refused


def test_the_document_agrees_with_the_training(trained):
    result = document("evaluate", "latest", **trained.env)
    assert list(result) == ["run", "dataset", "accuracy", "accuracy_mirrored", "loss", "confusion", "classes"]
    # Training may have measured in bfloat16.
    assert result["accuracy"] == pytest.approx(trained.document["test_accuracy"], abs=0.02)
    correct = sum(row[number] for number, row in enumerate(result["confusion"]))
    assert correct / sum(map(sum, result["confusion"])) == pytest.approx(result["accuracy"])


def test_without_the_images_another_dataset_is_needed(trained, tmp_path):
    shutil.copytree(trained.run.path, tmp_path / trained.run.id)
    moved = RunStore(tmp_path).get(trained.run.id)
    moved.write_config(moved.config() | {"data": moved.config()["data"] | {"dataset": "gone.zip"}})
    message = refused(command("evaluate", "latest", "--runs-dir", tmp_path))
    assert "gone.zip" in message and "--dataset" in message
    assert document("evaluate", "latest", "--dataset", "digits", "--runs-dir", tmp_path)["dataset"] == "digits"


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
