"""What is wrong with a run, and what can still be done with it."""

import pytest

from expertnet.errors import RunError
from expertnet.settings.fields import build_settings
from expertnet.store.checks import check_network, find_damage, has_network, resume_fault
from tests.support.commits import SOUND, described, state
from tests.support.small import can_resume


def test_a_run_that_has_not_read_its_data_set_is_sound(store):
    run = store.create(build_settings())
    assert find_damage(run) is None and run.dataset_info() is None
    described(run, SOUND)
    run.checkpoints.commit_epoch(state(0, 0), [])
    assert find_damage(run) is None and run.dataset_info().classes == ("a", "b")


@pytest.mark.parametrize(
    "dataset",
    [None, {}, [], "x", 7, {"name": "x"}, SOUND | {"classes": []}, SOUND | {"mean": ["a"] * 3}, SOUND | {"std": []}],
)
def test_a_broken_data_set_is_noticed(store, dataset):
    run = store.create(build_settings())
    run.checkpoints.commit_epoch(state(1, 1), [{"epoch": 1}])
    described(run, dataset)
    assert "dataset" in find_damage(run) and "Resume training to restore" in find_damage(run) and not has_network(run)
    run.write_status(run.status().changed(state="stopped"))
    assert run.dataset_info() is None and can_resume(run)


def test_damage_says_what_can_still_be_done(store):
    run = store.create(build_settings())
    described(run, SOUND)
    run.checkpoints.commit_epoch(state(1, 1), [{"epoch": 1}])
    (run.path / "status.json").write_text("{")
    assert "You can still use" in find_damage(run) and has_network(run) and can_resume(run)
    (run.path / "config.json").write_text("{")
    assert "You can only delete" in find_damage(run) and not has_network(run) and not can_resume(run)


def test_a_network_is_there_with_the_first_whole_epoch(store):
    run = store.create(build_settings())
    with pytest.raises(RunError, match="first epoch"):
        check_network(run)
    described(run, SOUND)
    run.checkpoints.commit_epoch(state(0, 0), [])
    assert run.checkpoints.epoch("best") == 0 and not has_network(run)
    run.checkpoints.commit_epoch(state(1, 1), [{"epoch": 1}])
    assert has_network(run) and run.checkpoints.present() == ("best", "last")


@pytest.mark.parametrize(
    ("state", "says"),
    [("failed", "“mine” failed before"), ("stopped", "was stopped before"), ("interrupted", "was interrupted before")],
)
def test_a_run_that_ended_before_its_first_epoch_says_so(store, state, says):
    run = store.create(build_settings(), name="mine")
    run.write_status(run.status().changed(state=state))
    with pytest.raises(RunError, match=says):
        check_network(run)
    run = store.create(build_settings())
    with pytest.raises(RunError, match="^Run “Digits, own settings” has no trained network yet"):
        check_network(run)


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_a_run_without_a_readable_resume_file_cannot_go_on(store, content):
    run = store.create(build_settings())
    run.write_status(run.status().changed(state="stopped"))
    assert can_resume(run)  # from its beginning
    run.checkpoints.commit_epoch(state(1, 1), [{"epoch": 1}])
    assert can_resume(run)
    (run.path / "resume.pt").unlink() if content is None else (run.path / "resume.pt").write_bytes(content)
    assert not can_resume(run) and "Start it again" in resume_fault(run)
