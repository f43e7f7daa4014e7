"""A resumed run trains on the images it began with, or is refused before anything of it changes."""

import os
import shutil

import pytest
import torch
from PIL import Image

from expertnet.data.cache import data_root
from expertnet.data.datasets import DECODED_AGAIN
from expertnet.errors import DatasetError
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import load_own_test_set
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.training.runner import run_training
from expertnet.training.start import prepare_resume
from expertnet.training.stop import Stop
from tests.support.small import TINY, figures

CHANGES = {
    "a class more": lambda images: shutil.copytree(images / "ant", images / "dog"),
    "a class less": lambda images: shutil.rmtree(images / "cat"),
    "a class renamed": lambda images: (images / "ant").rename(images / "rat"),
    "an image more": lambda images: shutil.copy(images / "ant" / "0.png", images / "ant" / "new.png"),
    "another image": lambda images: shutil.copy(images / "cat" / "0.png", images / "ant" / "0.png"),
}


@pytest.fixture(autouse=True)
def images(tmp_path, monkeypatch):
    """Three classes of 12 random images each, whose cache is not shared with other tests."""
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    generator = torch.Generator().manual_seed(3)
    for name in ("ant", "bee", "cat"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(12):
            pixels = torch.randint(0, 255, (8, 8, 3), dtype=torch.uint8, generator=generator)
            Image.fromarray(pixels.numpy()).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def run(tmp_path, images):
    """A run of one epoch on the images, which has finished."""
    run = RunStore(tmp_path / "runs").create(build_settings("quick", str(images), TINY | {"training.batch_size": 8}))
    assert run_training(run, Stop()).state == "finished", run.log_tail()
    return run


def files(run):
    return {path.name: path.read_bytes() for path in run.path.iterdir()}


def resumed(run):
    prepare_resume(run, epochs=2)
    return run_training(run, Stop())


def test_the_log_names_the_images_without_their_path(run, images):
    assert "Started: images, " in run.log_tail() and str(images.parent) not in run.log_tail()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_run_resumes_with_the_images_it_began_with(run, images, tmp_path, change):
    twin = RunStore(tmp_path / "twins").create(run.settings())
    shutil.copytree(run.path, twin.path, dirs_exist_ok=True)
    assert resumed(twin).state == "finished"
    change(images)
    assert resumed(run).state == "finished", run.log_tail()
    assert figures(run) == figures(twin) and run.status().test_loss == twin.status().test_loss
    assert run.dataset_info() == twin.dataset_info()
    said = "images has changed. The run keeps the images that it began with."
    assert said in run.log_tail() and said not in twin.log_tail()


@pytest.mark.parametrize("change", list(CHANGES)[:3])
def test_other_classes_are_refused_before_the_run_changes(run, images, change):
    before = files(run)
    CHANGES[change](images)
    shutil.rmtree(data_root())
    with pytest.raises(
        DatasetError, match=r"^images has changed since this run was trained: 1 class .*start a new run"
    ):
        prepare_resume(run, epochs=2)
    assert files(run) == before


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_images_that_change_after_the_run_was_queued_leave_its_network(run, images, change):
    network, info = run.checkpoints.load("best")[0], run.dataset_info()
    prepare_resume(run, epochs=2)
    change(images)
    shutil.rmtree(data_root())
    status = run_training(run, Stop())
    assert (status.state, status.error_kind) == ("failed", "data")
    assert status.error.startswith("images has changed since this run was trained: ")
    assert run.dataset_info() == info and load_predictor(run).classes == ("ant", "bee", "cat")
    assert all(torch.equal(run.checkpoints.load("best")[0][name], weight) for name, weight in network.items())
    with pytest.raises(DatasetError, match="has changed"):
        load_own_test_set(run)


def test_a_failed_resume_succeeds_once_the_images_are_back(run, images):
    new = images / "ant" / "new.png"
    shutil.copy(images / "ant" / "0.png", new)
    shutil.rmtree(data_root())
    assert resumed(run).state == "failed"
    new.unlink()
    os.utime(images / "ant" / "0.png")  # another time, the same image
    assert resumed(run).state == "finished", run.log_tail()


def test_a_run_whose_images_are_decoded_by_another_version_says_so(run):
    config = run.config()
    run.write_config(config | {"dataset": config["dataset"] | {"content": ""}})  # as older versions wrote it
    shutil.rmtree(data_root())
    assert resumed(run).state == "finished" and DECODED_AGAIN in run.log_tail()


def test_a_run_whose_images_are_decoded_again_alike_says_nothing(run):
    shutil.rmtree(data_root())
    assert resumed(run).state == "finished" and DECODED_AGAIN not in run.log_tail()


def test_a_state_of_another_network_is_refused_with_a_sentence(run, images):
    config = run.config()
    run.write_config(config | {"dataset": {"name": "images"}})  # damaged, so that the images cannot be compared
    CHANGES["a class more"](images)
    prepare_resume(run, epochs=2)
    before = {name: content for name, content in files(run).items() if name not in ("status.json", "log.txt")}
    status = run_training(run, Stop())
    assert status.state == "failed" and "does not fit its settings and its 4 classes" in status.error
    assert before == {name: content for name, content in files(run).items() if name not in ("status.json", "log.txt")}
