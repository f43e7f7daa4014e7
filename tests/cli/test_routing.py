"""`expertnet routing`."""

import pytest
from PIL import Image

from tests.support.command import command, document, refused
from tests.support.lab import saved_run


def test_the_document(trained, tmp_path):
    image = tmp_path / "image.png"
    Image.new("L", (20, 30), 90).save(image)
    (row,) = document("routing", "latest", image, "--checkpoint", "last", **trained.env)
    assert list(row) == ["file", "weights", "blocks"] and [len(block) for block in row["weights"]] == [3, 3]
    assert all(sum(block) == pytest.approx(1, abs=1e-5) for block in row["weights"])
    assert row["blocks"] == [1, 2]
    path, *blocks = command("routing", "latest", image, "--checkpoint", "last", **trained.env).stdout.splitlines()
    assert path == f"{image}:"
    for number, (line, weights) in enumerate(zip(blocks, row["weights"], strict=True), 1):
        assert line.split() == ["block", str(number), *(f"{weight:.3f}" for weight in weights)]


def test_blocks_without_experts_are_not_printed_and_told_apart_in_the_document(tmp_path):
    run, image = saved_run(tmp_path / "runs", expert_blocks=(2,)), tmp_path / "image.png"
    Image.new("RGB", (8, 8), "red").save(image)
    words = ("routing", run.id, image, "--runs-dir", tmp_path / "runs")
    (row,) = document(*words)
    assert row["blocks"] == [2] and [weights == [1, 0, 0] for weights in row["weights"]] == [True, False, True]
    _, line = command(*words).stdout.splitlines()
    assert line.split() == ["block", "2", *(f"{weight:.3f}" for weight in row["weights"][1])]


@pytest.mark.slow
def test_the_report_is_written_to_a_folder(trained, tmp_path):
    result = document("routing", "latest", "--report", tmp_path / "lab", **trained.env)
    assert list(result) == ["run", "report", "files"] and result["report"] == str(tmp_path / "lab")
    assert "index.md" in result["files"] and all((tmp_path / "lab" / name).is_file() for name in result["files"])


def test_wrong_arguments_are_rejected(trained, tmp_path):
    (tmp_path / "file").touch()
    assert "--report DIR" in refused(command("routing", "latest", **trained.env))
    assert "not a folder" in refused(command("routing", "latest", "--report", tmp_path / "file", **trained.env))
