"""The scripts that travel with an ONNX network classify files as the studio does."""

import json
import runpy
import shlex

import numpy as np
import pytest
from PIL import Image

from expertnet.data.images import load_image
from expertnet.inference.predictor import load_predictor
from expertnet.transfer.export_network import network_file
from expertnet.transfer.snippets import for_network, for_onnx
from tests.support.onnx_scripts import run_script

pytestmark = pytest.mark.slow


def test_the_check_in_the_zip_needs_only_onnxruntime_and_pillow(exported, tmp_path):
    _, _, folder = exported
    blocked = "import sys; sys.modules.update(torch=None, expertnet=None); import runpy; runpy.run_path('check.py', run_name='__main__')"
    done = run_script(folder, "-c", f"import sys; sys.path.insert(0, '.'); {blocked}")
    assert done.returncode == 0, done.stderr
    assert "probabilities: at most" in done.stdout and "routing: at most" in done.stdout
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "images").symlink_to(folder / "images")
    other = json.loads((folder / "expected.json").read_text())
    other["routing"][0][1][0] += 0.01
    (tmp_path / "expected.json").write_text(json.dumps(other))
    done = run_script(tmp_path, "check.py")
    assert done.returncode == 1 and "The check failed." in done.stderr


def test_files_get_the_classes_that_the_studio_gives_them(exported):
    run, found, folder = exported
    names = sorted(path.name for path in (folder / "images").iterdir())
    files = [folder / "images" / name for name in names]
    net = load_predictor(run)
    answers = net.classify([load_image(path.read_bytes(), net.image_size) for path in files])
    done = run_script(folder, "classify.py", *(f"images/{name}" for name in names))
    expected = [
        f"images/{n}: {a.predictions[0].label} {a.predictions[0].probability:.1%}"
        for n, a in zip(names, answers, strict=True)
    ]
    assert done.stdout.splitlines() == expected and len({line.split()[1] for line in expected}) > 1
    assert found.difference < 1e-4 and found.sentence in (folder / "README.md").read_text()
    assert "only block 2 has experts" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (np.uint16, 0, 65535),
        (np.uint16, 0, 4000),
        (np.int32, -500, 70000),
        (np.float32, 0, 1),
        (np.float32, 0, 200),
        (np.float32, -3, 3),
    ],
)
def test_deep_grayscale_becomes_the_pixels_that_the_studio_sees(exported, tmp_path, dtype, low, high):
    values = np.linspace(low, high, 40 * 30).reshape(30, 40).astype(dtype)
    Image.fromarray(values).save(tmp_path / "deep.tiff")
    assert np.ptp(_pixels_alike(exported, tmp_path / "deep.tiff")) > 10  # not clipped to one value


def test_a_transparent_value_of_deep_grayscale_becomes_white_and_the_others_stay(exported, tmp_path):
    values = np.full((40, 40), 13107, np.uint16)
    values[:20] = 52428
    Image.fromarray(values).save(tmp_path / "deep.png", transparency=13107)
    found = _pixels_alike(exported, tmp_path / "deep.png")
    assert (found[:, 0] == 204).all() and (found[:, -1] == 255).all()


def _pixels_alike(exported, file):
    """Return what the exported script makes of a file, which is what the studio does."""
    expected = load_image(file.read_bytes(), load_predictor(exported[0]).image_size).numpy()
    found = runpy.run_path(str(exported[2] / "classify.py"))["pixels"](file)
    np.testing.assert_array_equal(found, expected)
    return found


def test_files_that_cannot_be_read_are_named_and_the_others_classified(exported, tmp_path):
    folder = exported[2]
    (tmp_path / "notes.txt").write_text("no image")
    done = run_script(folder, "classify.py", "gone.png", "images/wide.png", str(tmp_path / "notes.txt"))
    assert done.returncode == 1 and done.stdout.startswith("images/wide.png: ") and done.stdout.count("\n") == 1
    missing, unreadable = done.stderr.splitlines()
    assert missing == "gone.png cannot be read: No such file or directory"
    assert unreadable.startswith(f"{tmp_path / 'notes.txt'} cannot be read: cannot identify image file")
    done = run_script(folder, "classify.py")
    assert done.returncode == 1 and done.stderr.startswith("Classify image files: ")


def test_the_code_beside_an_export_classifies_a_file(exported, tmp_path, monkeypatch, capsys):
    run, _, folder = exported
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.safetensors").write_bytes(network_file(run, "best")[0])
    for name in ("model.onnx", "classify.py", "check.py", "expected.json", "images"):
        (tmp_path / name).symlink_to(folder / name)
    (tmp_path / "image.png").symlink_to(folder / "images" / "wide.png")
    net = load_predictor(run)
    (answer,) = net.classify([load_image((tmp_path / "image.png").read_bytes(), net.image_size)])
    exec(for_network("net.safetensors"), {})
    assert capsys.readouterr().out.startswith(f"{answer.predictions[0].label} tensor(")
    commands = [shlex.split(line, comments=True) for line in for_onnx("net.zip").splitlines()]
    done = [run_script(tmp_path, *words[1:]) for words in commands if words[0] == "python" and words[1] != "-m"]
    assert [each.returncode for each in done] == [0, 0]
    assert done[1].stdout.startswith(f"image.png: {answer.predictions[0].label} ")
