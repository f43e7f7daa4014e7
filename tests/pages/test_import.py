"""Importing on the Runs page."""

from expertnet.store.run_store import RunStore
from tests.support.exports import exported
from tests.support.opening import finished, opened


def upload(test, *files):
    test.file_uploader[0].set_value([(name, content, "application/zip") for name, content in files]).run()
    test.button(key="import").click().run()
    assert not test.exception
    return test


def test_a_run_is_imported_into_an_empty_store(tmp_path):
    archive = exported(finished(RunStore(tmp_path / "elsewhere")))
    test = upload(opened("runs", open="import"), ("*a*.zip", archive))
    (run,) = RunStore().list()
    assert run.imported and run.id in test.success[0].value.replace("\\", "")
    assert test.run().success and len(RunStore().list()) == 1  # redrawn, as when a run trains
    next(button for button in test.button if button.label == "Dismiss").click().run()
    assert not test.success and not [button for button in test.button if button.label == "Dismiss"]


def test_a_run_that_you_already_have_is_named_and_not_imported_again(tmp_path):
    archive = exported(finished(RunStore(tmp_path / "elsewhere")))
    upload(opened("runs", open="import"), ("a.zip", archive))
    (run,) = RunStore().list()
    test = upload(opened("runs", open="import"), ("a.zip", archive))
    assert "You already have" in test.info[0].value and run.id not in test.info[0].value
    assert [link.proto.label for link in test.get("page_link")].count("See training") == 1
    assert not test.success and len(RunStore().list()) == 1


def test_a_refused_file_does_not_stop_the_others(tmp_path):
    archive = exported(finished(RunStore(tmp_path / "elsewhere")))
    test = upload(opened("runs", open="import"), ("a.zip", b"PK"), ("b.zip", archive))
    assert len(test.error) == len(test.success) == len(RunStore().list()) == 1


def test_a_file_that_is_not_a_run_gets_a_message():
    test = upload(opened("runs", open="import"), ("<b>.zip", b"PK"))
    assert "was not imported" in test.error[0].value and "<b>" not in test.error[0].value
    assert RunStore().list() == []
