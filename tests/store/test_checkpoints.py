"""Checkpoints: committed, rolled back, kept, and never run as code."""

import os

import pytest
import torch

from expertnet.errors import RunError
from expertnet.settings.fields import build_settings
from expertnet.store.checks import check_network, find_damage, has_network
from tests.support.commits import SOUND, described, state


def test_commit_and_roll_back(store):
    run = store.create(build_settings())
    history = [{"epoch": 1, "train_loss": float("nan")}, {"epoch": 2, "train_loss": 0.5}]
    for epoch in range(3):
        run.checkpoints.commit_epoch(state(epoch, min(epoch, 1)), history[:epoch])
    assert [(line["epoch"], line["train_loss"]) for line in run.metrics()] == [(1, None), (2, 0.5)]
    assert run.checkpoints.load("best")[1] == 1 and run.checkpoints.load("last")[1] == 2
    saved = run.checkpoints.load_resume()
    # epoch 3 wrote everything but resume.pt, and then the process was killed
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "train_loss": 0.1}\n')
    run.checkpoints.save("best", {"w": torch.zeros(2)}, 3)
    run.checkpoints.roll_back(saved)
    assert [line["epoch"] for line in run.metrics()] == [1, 2]
    (run.path / "metrics.jsonl").unlink()
    run.checkpoints.roll_back(saved)  # resume.pt alone is enough
    assert [(line["epoch"], line["train_loss"]) for line in run.metrics()] == [(1, None), (2, 0.5)]
    weights, epoch = run.checkpoints.load("best")
    assert epoch == 1 and torch.equal(weights["w"], torch.ones(2))


def test_weights_of_every_second_epoch_are_kept_and_rolled_back(store):
    run = store.create(build_settings())
    for epoch in range(5):
        run.checkpoints.commit_epoch(
            state(epoch, min(epoch, 1)), [{"epoch": n} for n in range(1, epoch + 1)], keep_every=2
        )
    assert run.checkpoints.saved_epochs() == {0: "epoch-0000", 2: "epoch-0002", 4: "epoch-0004"}
    weights, epoch = run.checkpoints.load("epoch-0002")
    assert epoch == 2 and torch.equal(weights["w"], torch.full((2,), 2.0))
    run.checkpoints.roll_back(state(3, 1))
    assert list(run.checkpoints.saved_epochs()) == [0, 2]


def test_resume_file_that_would_run_code_is_refused(store):
    run = store.create(build_settings())

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(store.root / "harm"),)

    torch.save({"epoch": Evil()}, run.path / "resume.pt")
    with pytest.raises(RunError, match="damaged"):
        run.checkpoints.load_resume()
    assert not (store.root / "harm").exists()


def test_a_damaged_checkpoint_names_the_other(store):
    run = store.create(build_settings())
    described(run, SOUND)
    run.checkpoints.commit_epoch(state(1, 1), [{"epoch": 1}])
    run.write_status(run.status().changed(epoch=1, epochs=1))
    assert find_damage(run) is None
    whole = run.checkpoints.path("best").read_bytes()
    for what, change in (
        ("is missing", run.checkpoints.path("best").unlink),
        ("is damaged", lambda: run.checkpoints.path("best").write_bytes(whole[:-4])),
    ):
        change()
        with pytest.raises(RunError, match=f"{what}. Use the last one instead") as error:
            run.checkpoints.load("best")
        assert find_damage(run) == str(error.value)
    assert has_network(run) and run.checkpoints.epoch("best") is None
    run.checkpoints.path("last").write_bytes(b"")
    with pytest.raises(RunError, match="No checkpoint"):
        check_network(run)
