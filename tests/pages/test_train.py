"""The Train page: the run in view, and what you can do with it."""

import json
import re

from expertnet.store.notes import Notes
from expertnet.store.run_store import RunStore
from expertnet.store.trash import move_to_trash
from expertnet.training.manager import manager
from tests.support.opening import finished, opened, query_of, to_page, written
from tests.support.small import until
from tests.support.stores import changed, failed, running, stopped_at_once


def test_the_run_in_training_is_in_view():
    run = running(RunStore())
    test = opened("train")
    assert query_of(test)["run"] == run.id
    assert any("mine" in heading.value for heading in test.header)


def test_the_url_of_a_run_in_the_trash_says_so():
    run = finished(RunStore())
    move_to_trash(run)
    assert ["in the trash" in toast.value for toast in opened("train", run.id).toast] == [True]


def test_an_unknown_run_in_the_url_is_named_in_a_toast():
    test = opened("train", "unknown")
    assert [toast.value for toast in test.toast] == [
        "There is no run at this URL. It was deleted, or the URL is mistyped."
    ]
    assert not test.info
    assert test.button(key="start")


def test_bare_train_shows_the_newest_run_that_has_ended_until_you_ask_for_another():
    store = RunStore()
    for name in "ab":
        written(store, name)
    run, older = store.list()
    test = opened("train")
    assert [heading.value for heading in test.header] == [run.title] and query_of(test)["run"] == run.id
    opened("train", older.id)  # another session
    for bare in (test, opened("train", older.id)):  # this one has seen the older run
        title = bare.header[0].value
        to_page(bare, "predict").run()
        bare.query_params.clear()
        assert to_page(bare, "train").run().header[0].value == title
    test.button(key="new").click().run()
    to_page(test, "predict").run()
    test.query_params.clear()
    assert to_page(test, "train").run().button(key="start")


def test_a_url_with_settings_and_included_runs_lead_to_the_form():
    run = written(RunStore())
    assert opened("train", **{"training.epochs": "3"}).button(key="start")
    run.write_config(run.config() | {"shipped": True})
    assert opened("train").button(key="start")


def test_the_mistakes_are_a_confusion_matrix_and_images_of_either_set():
    run = finished(RunStore())
    test = opened("train", run.id)
    test.button(key="mistakes").click().run()
    for part in ("test", "validation"):
        said = re.compile(rf"mistakes? in \d+ {part} images")
        until(
            lambda said=said: any(said.search(mark.value) for mark in test.run().markdown)
        )  # computed in the background
        assert not test.exception and not test.error
        chart = json.loads(test.get("vega_lite_chart")[0].proto.spec)
        assert chart["description"].startswith("Confusion matrix: 10 classes")
        strip = json.loads(
            next(each.proto.json for each in test.get("bidi_component") if '"Mistakes"' in each.proto.json)
        )
        assert all(
            re.match(rf"{part.capitalize()} image \d+: True: \d, predicted: \d", name) for *_, name in strip["tiles"]
        )
        other = next(control for control in test.segmented_control if "Validation images" in control.options)
        other.set_value("Validation images").run()


def test_the_settings_of_a_run_that_has_ended_name_those_that_differ_from_the_preset():
    run = finished(RunStore(), **{"training.lr": 0.005})
    test = opened("train", run.id, tab="Settings")
    table = test.dataframe[0].value.set_index("Key")
    assert list(table.loc["training.lr"]) == ["Learning rate", "0.005", "0.006"]
    first = [str(row.Value) != str(row.Preset) for row in test.dataframe[0].value.itertuples()]
    assert first == sorted(first, reverse=True) and any(first)
    assert any("training.lr=0.005" in code.value for code in test.code)


def test_an_ended_run_names_the_epoch_that_it_uses_unless_it_is_the_last():
    run = written(RunStore())
    assert opened("train", run.id).get("progress")[0].proto.text.endswith("finished · epoch 3 of 3")
    run.write_status(run.status().changed(best_epoch=2))
    text = opened("train", run.id).get("progress")[0].proto.text
    assert text.endswith("· epoch 3 of 3 · uses epoch 2, the best in validation")


def test_a_run_that_ended_early_says_so_and_why():
    run = written(RunStore(), **{"training.epochs": 12, "training.patience": 2})
    lines = [{"epoch": epoch, "val_accuracy": accuracy} for epoch, accuracy in enumerate((0.9, 0.8, 0.7), 1)]
    (run.path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    run.write_status(run.status().changed(epochs=12, best_epoch=1))
    test = opened("train", run.id)
    bar = test.get("progress")[0].proto
    assert bar.text.endswith("finished · epoch 3, ended early · uses epoch 1, the best in validation")
    assert bar.value == 100
    assert any(
        caption.value == "Stopped early: no better validation accuracy for 2 epochs." for caption in test.caption
    )
    assert not any("Train longer" in button.label for button in test.button)  # its patience would end it again


def test_the_log_has_plain_dates():
    run = failed(RunStore())
    run.log("One more line\n2 of it")
    test = opened("train", run.id)  # a run that failed shows it at once
    assert re.search(r"\n\d{1,2} \w{3} \d{4}, \d\d:\d\d UTC  One more line\n2 of it", test.code[0].value)


def test_without_validation_images_the_live_view_says_test_set():
    run = finished(RunStore(), **{"data.validation_share": 0.0})
    test = opened("train", run.id)
    assert any("its accuracy on the whole test set" in info.value for info in test.info)
    assert any(metric.label == "Test accuracy, last epoch" for metric in test.metric)


def test_the_course_of_a_metric_is_read_out_in_the_format_of_its_value():
    run = running(RunStore())
    points = [{"epoch": n, "steps": 1, "loss": 2.0 / n, "images_per_second": 9876.0 * n} for n in (1, 2)]
    (run.path / "steps.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
    images = [image.proto.imgs[0].alt for image in opened("train", run.id).get("image")]
    assert images[0] == "Training loss so far: from 2.000 to 1.000"
    assert images[3] == "Images per second so far: from 9,876 to 19,752"
    assert all(" so far: from " in alt and alt.count("%") == 2 for alt in images[1:3])


def test_a_single_epoch_is_drawn_as_points():
    test = opened("train", finished(RunStore(), **{"training.epochs": 1}).id)
    for chart in test.get("vega_lite_chart")[:2]:
        spec = json.loads(chart.proto.spec)
        lines = [
            layer for layer in spec["layer"] if isinstance(layer["mark"], dict) and layer["mark"]["type"] == "line"
        ]
        assert [layer["mark"]["point"]["size"] for layer in lines] == [60]
        assert lines[0]["encoding"]["x"]["scale"]["domain"] == [0.5, 1.5]


def test_a_run_that_ran_out_of_memory_offers_half_the_batch_size():
    run = failed(RunStore())
    test = opened("train", run.id)
    assert any("out of memory" in error.value for error in test.error)
    assert any("half the batch size (64)" in button.label for button in test.button)


def test_a_finished_run_can_be_repeated_trained_longer_and_copied_to_the_form():
    store = RunStore()
    run = finished(store, **{"training.lr": 0.005, "seed": 3})
    run.annotate(Notes("n" * 80))  # the longest name allowed
    manager().pause(True)
    opened("train", run.id).button(key="seed").click().run()
    (again,) = manager().waiting()
    assert again.name == "n" * 71 + "…, seed 4" and again.settings() == run.settings().model_copy(update={"seed": 4})
    test = opened("train", run.id)
    for epochs, said in (
        (2.0, "must be greater than 2. You entered 2."),
        (2.5, "“Epochs” must be a whole number between 1 and 10000. You entered 2.5."),
        (1e9, "between 1 and 10000"),
    ):
        next(field for field in test.number_input if field.label == "Total epochs").set_value(epochs)
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
    test.session_state["form"].unfolded = True
    test.run()
    lr = next(field for field in test.number_input if "Learning rate" in field.label)
    assert lr.value == 0.005 and test.query_params["run"] in ("none", ["none"])


def test_a_run_that_has_barely_learned_offers_enough_steps_first():
    run = finished(RunStore())  # two epochs of ten steps
    manager().pause(True)
    test = opened("train", run.id)
    assert any("Barely learned" in each.value for each in test.markdown)
    button = test.button(key="enough")
    assert button.label == "Train longer, to 30 epochs" and button.proto.type == "primary"
    button.click().run()
    assert not test.exception and run.state == "queued" and run.settings().training.epochs == 30
    manager().stop(run)
    good = finished(RunStore())
    good.write_status(good.status().changed(test_accuracy=0.9, steps=30))
    early = finished(RunStore())
    early.write_status(early.status().changed(epochs=9))  # as if its patience or time limit had ended it
    for other in (good, early, changed(finished(RunStore()), "resume.pt", b"")):  # the last cannot be resumed
        assert "enough" not in [button.key for button in opened("train", other.id).button]


def test_a_finished_run_with_a_damaged_status_can_be_evaluated_again():
    run = changed(finished(RunStore()), "status.json", b"{")
    test = opened("train", run.id)
    assert ["is damaged" in each.value for each in (*test.error, *test.warning)] == [True]
    assert test.button(key="resume").label == "Evaluate on the test set"


def test_a_run_that_cannot_resume_offers_a_new_run_with_its_settings():
    store = RunStore()
    run = finished(store)
    run.write_status(run.status().changed(state="stopped", epoch=1))
    assert [button.key for button in opened("train", run.id).button if button.key in ("resume", "anew")] == ["resume"]
    changed(run, "resume.pt", b"")
    manager().pause(True)
    test = opened("train", run.id)
    assert any("Start it again" in warning.value for warning in test.warning)
    assert [button.key for button in test.button if button.key in ("resume", "anew")] == ["anew"]
    test.button(key="anew").click().run()
    (made,) = manager().waiting()
    assert made.id != run.id and made.settings() == run.settings() and made.name == run.name


def test_untrained_weights_are_not_offered():
    run = stopped_at_once(RunStore())
    test = opened("train", run.id)
    assert any("was stopped before it completed an epoch" in caption.value for caption in test.caption)
    assert "See routing" not in [link.proto.label for link in test.get("page_link")]


def test_curves_by_step_are_drawn_before_the_first_epoch_and_make_way_for_those_by_epoch():
    store = RunStore()
    run = stopped_at_once(store)
    assert not run.metrics()
    charts = opened("train", run.id).get("vega_lite_chart")
    assert [json.loads(chart.proto.spec)["title"] for chart in charts[:2]] == ["Training loss", "Speed"]
    (run.path / "steps.jsonl").unlink()  # as in runs from older versions
    assert any("Curves appear after the first steps." in each.value for each in opened("train", run.id).caption)
    many = written(store, epochs=3)
    titles = [json.loads(chart.proto.spec).get("title") for chart in opened("train", many.id).get("vega_lite_chart")]
    assert "Training loss" not in titles and "Loss" in titles
