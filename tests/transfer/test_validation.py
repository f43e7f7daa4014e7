"""The contents of exported runs: what is wrong is rejected, and what is unsafe is cleaned."""

import json

import pytest
import torch
from safetensors.torch import load_file, save

from expertnet.store.notes import Notes
from tests.support.exports import changed, contents, exported, imported, refusal, zipped


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("export.json", lambda d: d.update(run="../../x"), "no valid run ID"),
        ("export.json", lambda d: d.update(run="２０２６1124-123318-dac5"), "no valid run ID"),
        ("config.json", lambda d: d["model"].update(channels=16), "another network"),
        ("config.json", lambda d: d["model"].update(channels=10**9), "channels` must be"),
        ("config.json", lambda d: d["model"].update(evil=1), "There is no setting"),
        ("config.json", lambda d: d.pop("dataset"), "no class names"),
        ("config.json", lambda d: d["dataset"].update(image_size=10**6), "invalid description"),
        ("config.json", lambda d: d["dataset"].update(std=[0, 1, 1]), "invalid description"),
        ("config.json", lambda d: d["dataset"].update(mean=[10**400, 1, 1]), "invalid description"),
        ("config.json", lambda d: d["dataset"].update(classes=["x"] * 10), "invalid description"),
        ("config.json", lambda d: d["dataset"]["classes"].pop(), "another network"),
        ("config.json", lambda d: d.update(dataset=7), "invalid description"),
        ("status.json", lambda d: d.update(state="wild"), "status.json is damaged"),
        ("status.json", lambda d: d.update(epoch=-1), "status.json is damaged"),
        ("status.json", lambda d: d.update(test_accuracy=7), "status.json is damaged"),
        ("status.json", lambda d: d.update(epoch=3), "metrics.jsonl is damaged"),
    ],
)
def test_invalid_documents_are_rejected(source, store, name, change, why):
    assert why in refusal(store, changed(exported(source), name, change))


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (b'{"epoch": 1}\n{"epoch": 1e400}', "damaged"),
        (b'{"epoch": 1}\n{"epoch": 3}', "damaged"),
        (b'{"epoch": 1}\n{"epoch": 2, "routing_entropy": [1]}', "another network"),
        (b'{"epoch": 1}\n{"epoch": 2, "expert_usage": [[1], [1]]}', "another network"),
    ],
)
def test_an_invalid_history_is_rejected(source, store, lines, why):
    assert why in refusal(store, zipped(contents(exported(source)) | {"metrics.jsonl": lines}))


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ({"epoch-0007.safetensors": b"x"}, "is damaged"),
        ({"epoch-0007.safetensors": save({"x": torch.ones(1)}, {"epoch": "7"})}, "another network"),
        ({"epoch-0007.safetensors": save({}, {"epoch": "8"})}, "of epoch 8"),
        ({"silenced-best.safetensors": save({"changed": torch.zeros(3, 3, 9)}, {"epoch": "1"})}, "another network"),
        ({"ablations-test-best.safetensors": save({"labels": torch.zeros(9)}, {"epoch": "1"})}, "another network"),
    ],
)
def test_invalid_weights_are_rejected(source, store, weights, why):
    assert why in refusal(store, zipped(contents(exported(source)) | weights))


@pytest.mark.parametrize("dtype", [torch.float64, torch.int32, torch.uint8], ids=str)
def test_weights_of_another_kind_of_number_are_rejected(source, store, dtype):
    weights = {name: weight.to(dtype) for name, weight in load_file(source.checkpoints.path("best")).items()}
    files = contents(exported(source)) | {"best.safetensors": save(weights, {"epoch": "1"})}
    assert "another network" in refusal(store, zipped(files))


def test_the_path_of_a_dataset_is_reduced_to_a_name(source, store):
    archive = changed(
        exported(source), "config.json", lambda config: config["data"].update(dataset="/etc/../home/me/bi:rds.zip")
    )
    run = imported(store, archive).run
    assert run.settings().data.dataset == "imported/bi_rds.zip" and run.dataset == "bi_rds"


def test_characters_that_control_a_terminal_are_removed(source, store):
    def change(config):
        config.update(name="\x1b[2Jred\nline", preset=["x"])

    run = imported(store, changed(exported(source), "config.json", change)).run
    assert run.name == "?[2Jred line" and run.preset == ""


def test_notes_are_cleaned(source, store):
    notes = {"note": "a\n\x1bb", "tags": ["x", 3, ""], "more": 1}
    run = imported(store, zipped(contents(exported(source)) | {"notes.json": json.dumps(notes)})).run
    assert run.notes() == Notes("", ("x",), "a\nb")
    assert json.loads((run.path / "notes.json").read_text()).keys() == {"name", "tags", "note"}
