"""Every page opens against an empty store, a running, a finished, a failed and a damaged run, and bad addresses."""

import io
import json
import os
import re
import shutil
import subprocess
import zipfile
from urllib.parse import parse_qsl

import pytest
from PIL import Image

from expertnet.settings.fields import build_settings
from expertnet.store.notes import Notes
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from expertnet.training.manager import manager
from expertnet.training.runner import Stop, run_training
from expertnet.ui.run_picker import CHOSEN
from expertnet.ui.runs import table
from expertnet.utils.processes import this_process
from tests.support.opening import TINY, finished, new_session, opened, to_page

PAGES = ["train", "runs", "experts", "predict"]


def running(store):
    run = finished(store)
    queue = RunQueue(store.root)
    queue.add_first(run.id)
    queue.take()
    run.write_status(
        run.status().changed(process=this_process(), state="running", activity="Training", step=3, steps=9)
    )
    return run


def failed(store):
    run = finished(store)
    run.write_status(run.status().changed(state="failed", error="The GPU ran out of memory.", error_kind="memory"))
    return run


def damaged(store):
    run = finished(store)
    (run.path / "config.json").write_text('{"name": "torn')
    (run.path / "metrics.jsonl").write_text('{"epoch": 1, "val_acc')
    return run


def odd(store):
    """Valid JSON, and nothing in it is what it should be."""
    run = finished(store)
    status = run.status().model_dump().changed(best_val_accuracy="high", epochs=None, state=7)
    (run.path / "status.json").write_text(json.dumps(status))
    lines = ['{"epoch": 1}', '{"epoch": 2, "val_accuracy": "x", "routing_entropy": 3}', "[1]", '"text"', "7"]
    (run.path / "metrics.jsonl").write_text("\n".join(lines))
    return run


def bare(store):
    run = odd(store)
    run.write_status(Status().changed(state="finished", epoch=2, epochs=2))
    return run


def empty(store):
    return None


def archive_of(*classes):
    """A zip of three grey images in each class."""
    image, packed = io.BytesIO(), io.BytesIO()
    Image.new("L", (8, 8), 99).save(image, "PNG")
    with zipfile.ZipFile(packed, "w") as archive:
        for name in classes:
            for number in range(3):
                archive.writestr(f"{name}/{number}.png", image.getvalue())
    return packed.getvalue()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("make", [empty, running, finished, failed, damaged, odd, bare])
def test_page_opens(page, make):
    run = make(RunStore())
    opened(page)
    if run is not None:
        opened(page, run.id)


@pytest.mark.parametrize("page", ["train", "experts", "predict"])
@pytest.mark.parametrize("address", ["../../etc", "20200101-000000-abcd", "<script>", ""])
def test_an_address_that_names_no_run_gets_a_sentence(page, address):
    test = opened(page, address)
    assert address == "" or any("There is no run" in said.value for said in (*test.error, *test.info))


def test_empty_store_says_what_to_do_next():
    for page in ("runs", "experts", "predict"):
        assert any("rain" in info.value for info in opened(page).info)


def test_the_run_that_trains_is_shown_to_whoever_comes():
    run = running(RunStore())
    queue = RunQueue(RunStore().root)
    queue.add(run.id)
    queue.take()
    test = opened("train")
    assert test.query_params["run"] in (run.id, [run.id])
    assert any("mine" in heading.value for heading in (*test.header, *test.subheader))


def test_a_failed_run_offers_half_the_batch():
    run = failed(RunStore())
    test = opened("train", run.id)
    assert any("out of memory" in error.value for error in test.error)
    assert any("half the batch (64)" in button.label for button in test.button)


def test_a_damaged_run_is_named_as_such():
    run = damaged(RunStore())
    assert any("damaged" in error.value for error in opened("train", run.id).error)
    assert any("damaged" in error.value for error in opened("experts", run.id).error)


def test_where_the_test_set_is_watched_the_live_view_says_so():
    run = finished(RunStore(), **{"data.validation_share": 0.0})
    test = opened("train", run.id)
    assert any("test set itself" in info.value for info in test.info)
    assert any(metric.label == "Test accuracy, last epoch" for metric in test.metric)


def test_one_expert_has_nothing_to_route():
    run = finished(RunStore(), **{"model.num_experts": 1})
    assert any("nothing to route" in info.value for info in opened("experts", run.id).info)


def test_form_marks_what_differs_and_gives_the_command():
    test = opened("train")
    test.number_input(key="field 1 training.epochs").set_value(3).run()
    assert test.number_input(key="field 1 training.epochs").label == "● Epochs (preset: 12)"
    test.session_state["command line"] = True  # opened, which draws it
    assert any("--set training.epochs=3" in code.value for code in test.run().code)


def test_a_switch_that_differs_is_marked_in_one_line():
    test = opened("train")
    test.toggle(key="field 1 model.residual").set_value(True).run()
    assert test.toggle(key="field 1 model.residual").label == "● Residual blocks"
    test.selectbox(key="field 1 model.routing").set_value("uniform").run()
    assert test.selectbox(key="field 1 model.routing").label == "● Routing (preset: learned)"


@pytest.mark.parametrize(
    ("key", "label", "value", "allowed"),
    [
        ("training.epochs", "Epochs", 0, "between 1 and 10000"),
        ("training.epochs", "Epochs", 2.7, "a whole number"),
        ("training.epochs", "Epochs", 1e9, "between 1 and 10000"),
        ("seed", "Seed", 2.0**70, "between 0 and 2147483647"),
        ("model.num_blocks", "Blocks", 10**15, "between 1 and 64"),
        ("model.num_blocks", "Blocks", -3, "between 1 and 64"),
        ("training.lr", "Learning rate", 0.0, "greater than 0"),
    ],
)
def test_a_number_that_cannot_be_used_is_refused_with_what_is_allowed(key, label, value, allowed):
    test = opened("train")
    test.number_input(key=f"field 1 {key}").set_value(value).run()
    assert len(test.warning) == 2  # beside the form and at the button
    for warning in test.warning:
        assert f"“{label}” must be" in warning.value and allowed in warning.value.replace("\\", "")
    assert (
        sum(allowed in mark.value.replace("\\", "") and ":red[" in mark.value for mark in test.markdown) == 1
    )  # at the field
    assert test.button(key="start").disabled


def test_every_setting_that_cannot_be_used_is_marked():
    test = opened("train")
    test.number_input(key="field 1 training.epochs").set_value(0).run()
    test.number_input(key="field 1 model.channels").set_value(-8).run()
    assert sum(":red[" in mark.value for mark in test.markdown) == 2
    assert ["1 more is marked in the form" in warning.value for warning in test.warning] == [True] * 2


def test_a_setting_that_does_not_fit_blocks_the_start_and_says_why():
    test = opened("train")
    test.number_input(key="field 1 data.cutout").set_value(64).run()
    said = [warning.value.replace("\\", "") for warning in test.warning]
    assert ["“Cutout” must be at most “Image size” (32). You entered 64." in sentence for sentence in said] == [
        True
    ] * 2
    assert test.button(key="start").disabled


def test_fewer_blocks_for_a_moment_lose_no_pooling():
    test = opened("train")
    blocks = test.number_input(key="field 1 model.num_blocks")
    blocks.set_value(1).run()
    assert (
        all("“Pool after blocks” must name blocks between 1 and 1" in warning.value for warning in test.warning)
        and test.warning
    )
    blocks.set_value(4).run()
    assert list(test.multiselect(key="field 1 model.pool_after").value) == [1, 2] and not test.warning
    assert not test.button(key="start").disabled


def values(test):
    """The form of the Train page, as a new session shows it."""
    widgets = (*test.number_input, *test.selectbox, *test.text_input, *test.multiselect)
    return {widget.key.split()[-1]: widget.value for widget in widgets if (widget.key or "").startswith("field ")}


def address_of(test):
    """The query that the page leaves in the address."""
    (query,) = [re.search(r"location.pathname \+ '([^']*)'", html.proto.body)[1] for html in test.get("html")]
    return dict(parse_qsl(query.lstrip("?"), keep_blank_values=True))


def test_what_was_typed_survives_a_reload_and_leaves_the_run_in_the_address():
    run = finished(RunStore())
    test = opened("train", run.id, view="x")
    assert address_of(test) == {"run": run.id, "view": "x"}
    test.selectbox(key="field 1 preset").set_value("report").run()
    test.number_input(key="field 2 training.epochs").set_value(3).run()
    test.number_input(key="field 2 training.lr").set_value(0.0015).run()
    test.multiselect(key="field 2 model.pool_after").set_value([2, 4]).run()
    test.text_input(key="field 2 model.widths").set_value("8 16 ²").run()
    test.number_input(key="field 2 data.cutout").set_value(64).run()  # like the widths, not to be used as it is
    address = address_of(test)
    assert address == {
        "run": run.id,
        "view": "x",
        "preset": "report",
        "dataset": "digits",
        "training.epochs": "3",
        "training.lr": "0.0015",
        "model.pool_after": "2,4",
        "model.widths": "8,16,²",
        "data.cutout": "64",
    }
    again = opened("train", **address)
    assert any("mine" in heading.value for heading in again.subheader)
    kept = values(test) | {"model.widths": "", "data.cutout": 0}
    assert values(again) == kept
    assert ["model.widths" in warning.value.replace("\\", "") for warning in again.warning] == [True]
    again.number_input(key="field 1 training.epochs").set_value(4).run()
    assert not again.warning and address_of(again)["training.epochs"] == "4"


def test_settings_taken_from_a_run_stand_in_the_address():
    run = finished(RunStore(), **{"training.lr": 1e-9})  # less than the form lets people type
    test = opened("train", run.id).button(key="from").click().run()
    assert not test.exception
    address = address_of(test)
    assert address["run"] == "none" and address["training.lr"] == "1e-09" and address["data.image_size"] == "8"
    assert values(opened("train", **address)) == values(test)
    test.button[0].click().run()  # Reset
    assert address_of(test) == {"run": "none"}


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ({"training.lr": "fast"}, "`training.lr` must be a number greater than 0 and at most 10. You entered 'fast'."),
        ({"training.epohcs": "3"}, "Did you mean training.epochs?"),
        ({"preset": "<script>alert(1)</script>"}, "There is no preset"),
        ({"model.num_blocks": "9" * 5000}, "model.num_blocks"),
        ({"model.pool_after": "7"}, "model.pool_after"),
        ({"dataset": ""}, "You entered nothing."),
        ({"dataset": "x" * 9000}, "too long"),
        ({"seed": "-1"}, "seed"),
        ({"hardware.device": "cuda:99' + alert(1) + '"}, "hardware.device"),
    ],
)
def test_an_address_that_cannot_be_used_gets_one_sentence_and_the_rest_of_it_counts(address, says):
    test = opened("train", **address, **{"training.batch_size": "32"})
    (warning,) = test.warning
    assert says in warning.value.replace("\\", "") and len(warning.value) < 500
    assert values(test)["training.batch_size"] == (128 if "too long" in says else 32)
    assert set(address_of(test)) <= {"preset", "dataset", "training.batch_size"}
    assert not test.button(key="start").disabled


def test_images_that_an_address_names_are_looked_at_when_somebody_says_so(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("L", (8, 8), 99).save(tmp_path / name / f"{number}.png")
    test = opened("train", dataset=str(tmp_path))
    assert test.button(key="start").disabled
    assert not any("images in 2 classes" in caption.value for caption in test.caption)
    test.button(key="look").click().run()
    for shown in (test, opened("train", **address_of(test))):  # a reload does not ask again
        assert not shown.button(key="start").disabled
        assert any(
            "6 images in 2 classes: 4 for training, 2 held out for the test. Classes: cat, dog" in caption.value
            for caption in shown.caption
        )


def tables_before_and_after():
    """The Runs page with one run, drawn again after another has come."""
    test = opened("runs")
    before = [frame.proto.id for frame in test.dataframe]
    RunStore().create(build_settings("quick", "digits", TINY))
    return before, [frame.proto.id for frame in test.run().dataframe]


def test_a_tick_does_not_pass_to_another_run_when_one_comes():
    """Ticks are row numbers, so a table of other rows is another table, with no tick."""
    finished(RunStore())
    before, after = tables_before_and_after()
    assert before and after and before[0] != after[0]


def test_removing_a_trained_run_from_the_queue_keeps_it_and_one_that_has_not_begun_goes_to_the_trash():
    store = RunStore()
    run = finished(store)
    manager().pause(True)  # so that they stay in the queue
    manager().resume(run, epochs=3)
    new = manager().submit(build_settings("quick", "digits"))
    opened("train").button(key=f"remove {run.id}").click().run()
    assert run.state == "finished" and run.settings().training.epochs == len(run.metrics()) == 2
    opened("train").button(key=f"remove {new.id}").click().run()
    assert [each.id for each in store.list()] == [run.id]
    assert (store.root / ".trash" / new.id / "config.json").is_file()


def test_the_queue_is_reordered_and_paused_on_the_page():
    manager().pause(True)
    runs = [manager().submit(build_settings("quick", "digits"), name=name) for name in "abc"]
    opened("train").button(key=f"next {runs[2].id}").click().run()
    opened("train").button(key=f"up {runs[1].id}").click().run()
    assert [run.name for run in manager().waiting()] == ["c", "b", "a"]
    assert opened("train").button(key="start").label == "Add to the queue"
    for run in runs:
        manager().stop(run)
    opened("train").button(key="pause").click().run()
    assert not manager().queue.paused


def test_a_run_of_the_past_is_repeated_prolonged_and_taken_as_a_start():
    store = RunStore()
    run = finished(store, **{"training.lr": 0.005, "seed": 3})
    run.annotate(Notes("n" * 80))  # as long as a name may be
    manager().pause(True)
    opened("train", run.id).button(key="seed").click().run()
    (again,) = manager().waiting()
    assert again.name == "n" * 71 + "…, seed 4" and again.settings() == run.settings().model_copy(update={"seed": 4})
    test = opened("train", run.id)
    for epochs, said in (
        (2.0, "have 2 epochs already"),
        (2.5, "“Epochs” must be a whole number between 1 and 10000. You entered 2.5."),
        (1e9, "between 1 and 10000"),
    ):
        next(field for field in test.number_input if field.label == "Epochs in all").set_value(epochs)
        next(button for button in test.button if button.label == "Train longer").click().run()
        assert [said in error.value.replace("\\", "") for error in test.error] == [True]
    test = opened("train", run.id)
    longer = next(button for button in test.button if button.label == "Train longer")
    longer.click().run()
    assert not test.exception and run.state == "queued" and run.settings().training.epochs == 3
    test = opened("train", run.id)
    manager().stop(run)
    test = opened("train", run.id)
    test.button(key="from").click().run()
    lr = next(field for field in test.number_input if "Learning rate" in field.label)
    assert lr.value == 0.005 and test.query_params["run"] in ("none", ["none"])


def test_a_store_that_cannot_be_written_is_named_and_pages_open(tmp_path):
    finished(RunStore())
    read_only = not os.geteuid() and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", RunStore().root], check=False
    )
    if os.geteuid():
        RunStore().root.chmod(0o500)
    elif read_only.returncode:
        pytest.skip("root writes everywhere, and may not mount a disk here")
    try:
        test = opened("train")
        test.button(key="start").click().run()
        assert not test.exception and any("write access" in error.value for error in test.error)
        opened("runs")
    finally:
        if os.geteuid():
            RunStore().root.chmod(0o700)
        else:
            subprocess.run(["umount", RunStore().root], check=True)


def test_a_path_typed_after_an_upload_counts(tmp_path):
    test = opened("train")
    test.selectbox(key="field 1 source").set_value("own").run()
    test.file_uploader[0].upload("images.zip", b"PK\5\6" + bytes(18), "application/zip").run()
    path = next(field for field in test.text_input if "Folder or archive" in field.label)
    assert path.value.endswith(".zip") and path.value != str(tmp_path)
    path.set_value(str(tmp_path)).run()
    test.button[0].click().run()  # Reset, which fills the form in anew
    assert next(field for field in test.text_input if "Folder or archive" in field.label).value == str(tmp_path)


@pytest.mark.parametrize("classes", [("cat",), ("cat", "dog")])
def test_own_images_are_looked_at_before_the_start(classes):
    test = opened("train")
    test.selectbox(key="field 1 source").set_value("own").run()
    test.file_uploader[0].upload("my own.zip", archive_of(*classes), "application/zip").run()
    if len(classes) == 1:
        assert "only one class" in test.error[0].value
        assert test.button(key="start").disabled
    else:
        assert not test.error
        assert not test.button(key="start").disabled
        assert any(
            "6 images in 2 classes: 4 for training, 2 held out for the test. Classes: cat, dog" in caption.value
            for caption in test.caption
        )


def changed(run, name, content):
    (run.path / name).write_bytes(content)
    return run


def without_classes(store):
    run = finished(store)
    run.write_config(run.config() | {"dataset": {"name": "digits"}})
    return run


def stopped_at_once(store):
    run, stop = store.create(build_settings("quick", "digits", TINY)), Stop()
    run_training(run, stop, on_progress=lambda status: status.step == 1 and stop.set())
    assert run.state == "stopped" and run.checkpoints()
    return run


@pytest.mark.parametrize("page", ["experts", "predict"])
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (without_classes, "knows no classes"),
        (stopped_at_once, "was stopped before its first epoch was whole"),
        (damaged, "only deleted"),
        (lambda store: None, "There is no run at this address: it was deleted, or mistyped."),
    ],
)
def test_a_run_that_cannot_be_shown_gets_a_reason_and_no_other_in_its_place(page, make, why):
    other, run = finished(RunStore()), make(RunStore())
    test = opened(page, run.id if run else "20200101-000000-abcd")
    assert [why in error.value.replace("\\", "") for error in test.error] == [True]
    assert test.selectbox[0].value is None and len(test.selectbox[0].options) == 1 and len(test.selectbox) == 1
    test.selectbox[0].set_value(other.id).run()
    assert not test.exception and not test.error and test.query_params["run"] == other.id


def test_a_run_in_the_trash_is_said_to_be_there():
    run = finished(RunStore())
    run.move_to_trash()
    assert ["in the trash" in info.value for info in opened("train", run.id).info] == [True]


@pytest.mark.parametrize("page", ["experts", "predict"])
def test_the_first_choice_is_ones_newest_finished_run_or_else_what_came_along(page):
    store = RunStore()
    runs = {name: finished(store) for name in ("own", "stopped", "shipped")}
    runs["stopped"].write_status(runs["stopped"].status().changed(state="stopped"))
    runs["shipped"].write_config(runs["shipped"].config() | {"shipped": True})
    assert opened(page).selectbox[0].value == runs["own"].id
    runs["own"].move_to_trash()
    assert opened(page).selectbox[0].value == runs["shipped"].id
    config = runs["shipped"].config()
    elsewhere = Run(
        shutil.copytree(runs["shipped"].path, store.root / "29990101-000000-abcd")
    )  # whose images did not come along
    elsewhere.write_config(config | {"data": config["data"] | {"dataset": "gone.zip"}})
    assert opened(page).selectbox[0].value == (runs["shipped"] if page == "experts" else elsewhere).id


def test_the_run_that_was_chosen_is_there_on_the_other_page_too():
    older, newer = sorted((finished(RunStore()), finished(RunStore())), key=lambda run: run.id)
    test = opened("experts")
    assert test.selectbox[0].value == newer.id
    test.selectbox[0].set_value(older.id).run()
    del test.query_params["run"]  # as a link of the navigation does
    assert to_page(test, "predict").run().selectbox[0].value == older.id
    older.move_to_trash()
    test = new_session("experts")
    test.session_state[CHOSEN] = older.id
    assert test.run().selectbox[0].value == newer.id and not test.error


@pytest.mark.parametrize("page", ["experts", "predict", "train"])
def test_a_best_checkpoint_that_is_gone_is_told(page):
    run = finished(RunStore())
    run.checkpoint_path("best").unlink()
    said = [warning.value.replace("\\", "") for warning in opened(page, run.id).warning]
    assert ["is not there; the last one can be used instead" in sentence for sentence in said] == [True]


def test_a_finished_run_that_has_lost_its_state_is_told_so_once_and_measured_anew():
    run = changed(finished(RunStore()), "status.json", b"{")
    test = opened("train", run.id)
    assert ["is damaged" in each.value for each in (*test.error, *test.warning)] == [True]
    assert test.button(key="resume").label == "Measure it on the test set"


@pytest.mark.parametrize("page", ["experts", "predict"])
def test_where_the_best_checkpoint_is_damaged_the_last_can_be_chosen(page):
    run = changed(finished(RunStore()), "best.safetensors", b"")
    test = opened(page, run.id)
    assert ["the last one can be used instead" in error.value for error in test.error] == [True]
    weights = test.selectbox(key=f"weights {run.id}")
    assert weights.options == ["best, damaged", "last, epoch 2"]
    weights.set_value("last").run()
    assert not test.exception and not test.error


def test_a_run_that_cannot_go_on_is_offered_anew():
    store = RunStore()
    run = finished(store)
    run.write_status(run.status().changed(state="stopped", epoch=1))
    assert [button.key for button in opened("train", run.id).button if button.key in ("resume", "anew")] == ["resume"]
    changed(run, "resume.pt", b"")
    manager().pause(True)
    test = opened("train", run.id)
    assert any("start it anew" in warning.value for warning in test.warning)
    assert [button.key for button in test.button if button.key in ("resume", "anew")] == ["anew"]
    test.button(key="anew").click().run()
    (made,) = manager().waiting()
    assert made.id != run.id and made.settings() == run.settings() and made.name == run.name


def test_weights_that_have_learned_nothing_are_not_offered():
    run = stopped_at_once(RunStore())
    test = opened("train", run.id)
    assert any("was stopped before its first epoch was whole" in caption.value for caption in test.caption)
    assert "See its routing" not in [link.proto.label for link in test.get("page_link")]


def test_the_runs_table_names_the_data_set_of_the_settings():
    store = RunStore()
    run = store.create(build_settings("quick", None, {"data.dataset": "/home/me/birds.zip"}))
    run.write_status(run.status().changed(state="failed", error="There is no dataset.", error_kind="data"))
    assert opened("runs").dataframe[0].value["Dataset"].tolist() == ["birds.zip"]


def test_settings_that_differ_have_the_labels_of_the_form(monkeypatch):
    for rate in (0.01, 0.02):
        finished(RunStore(), **{"training.lr": rate})
    monkeypatch.setattr(table, "run_table", lambda runs: runs)
    assert opened("runs").dataframe[-1].value.index.tolist() == ["Learning rate"]


def test_a_test_image_is_named_in_plain_words():
    test = opened("experts", finished(RunStore()).id)
    captions = [image.caption for shown in test.get("image") for image in shown.proto.imgs]
    assert re.fullmatch(r'Test image \d+: class "\d"', captions[0])


def test_a_single_epoch_shows_as_points_on_whole_epochs():
    test = opened("train", finished(RunStore(), **{"training.epochs": 1}).id)
    for chart in test.get("vega_lite_chart")[:3]:
        spec = json.loads(chart.proto.spec)
        lines = [
            layer for layer in spec["layer"] if isinstance(layer["mark"], dict) and layer["mark"]["type"] == "line"
        ]
        assert [layer["mark"]["point"]["size"] for layer in lines] == [60]
        assert lines[0]["encoding"]["x"]["scale"]["domain"] == [0.5, 1.5]
