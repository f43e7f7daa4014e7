"""The form of the Sweep page: what it starts, keeps and refuses."""

import pytest

from expertnet.data.custom import scan
from expertnet.data.own.datasets import create_dataset
from expertnet.data.uploads import save_upload
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.sweeps.engine import stop_sweep
from expertnet.sweeps.plan import Budget
from expertnet.sweeps.sweep import all_sweeps
from expertnet.training.pace import ENOUGH_STEPS, step_count, training_images
from tests.support.form import form
from tests.support.opening import new_session, opened, to_page
from tests.support.own import flowers, png
from tests.support.sweeps import click, labels, text
from tests.support.uploads import archive_of

pytestmark = pytest.mark.usefixtures("paused")


def test_the_form_starts_a_sweep_that_puts_its_trials_into_the_queue():
    test = opened("sweep")
    assert "20 trials, at most 120 epochs. Each trial is a run." in text(test)
    test.number_input(key="sweep trials").set_value(5).run()
    test.number_input(key="to model.num_experts").set_value(3.0).run()
    test.text_input(key="sweep name").set_value("<b>mine</b>").run()
    click(test, "Start sweep")
    (sweep,) = all_sweeps(RunStore())
    plan = sweep.plan()
    assert (plan.name, plan.budget, plan.settings.training.epochs) == ("<b>mine</b>", Budget(trials=5), 6)
    assert [d.text for d in plan.space] == ["training.lr=0.0001..0.01:log", "model.num_experts=2..3"]
    assert not test.exception and test.header[0].value == "\\<b\\>mine\\</b\\>" and "Stop sweep" in labels(test)
    assert "The queue is paused." in text(test)
    click(test, "Stop sweep")
    assert "Resume sweep" in labels(test) and sweep.status().state == "stopped"
    click(test, "New sweep")
    assert test.number_input(key="sweep trials").value == 5 and test.text_input(key="sweep name").value == ""


def test_a_sweep_takes_a_dataset_of_your_own_or_an_upload_from_the_list(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    dataset, empty = flowers(count=6), create_dataset("Empty").dataset
    path = str(save_upload("pets.zip", archive_of("cat", "dog")))
    test = opened("sweep")
    picker = test.selectbox(key="sweep dataset")
    assert [option.split(" · ")[0] for option in picker.options[:3]] == ["Flowers", "pets", "Digits"]
    assert "Empty" not in picker.options and picker.value == "digits" != empty
    picker.set_value(dataset).run()
    click(test, "Start sweep")
    (sweep,) = all_sweeps(RunStore())
    assert not test.exception and sweep.plan().settings.data.dataset.startswith(f"{dataset}@")
    stop_sweep(sweep)
    click(test, "New sweep")
    test.selectbox(key="sweep dataset").set_value(path).run()
    assert "6 images in 2 classes: 4 for training and validation, 2 held out for the test." in text(test)
    click(test, "Start sweep")
    (sweep,) = [sweep for sweep in all_sweeps(RunStore()) if sweep.active]
    assert sweep.plan().settings.data.dataset == path and "pets: learning rate" in test.header[0].value.replace(
        "\\", ""
    )


def test_a_dataset_of_your_own_that_is_titled_like_a_built_in_one_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    dataset = flowers(title="Digits")
    test = opened("sweep")
    picker = test.selectbox(key="sweep dataset")
    assert picker.options[:2] == [f"Digits · {dataset}", "Digits · digits"]
    picker.select_index(0).run()
    click(test, "Start sweep")
    (sweep,) = all_sweeps(RunStore())
    assert sweep.plan().settings.data.dataset.startswith(f"{dataset}@")


def test_the_form_keeps_its_values_over_a_visit_to_another_page():
    def values():
        kinds = ("selectbox", "number_input", "text_area", "text_input", "multiselect", "button_group")
        return {widget.key: widget.value for kind in kinds for widget in test.get(kind)}

    test = opened("sweep")
    first = values()
    test.selectbox(key="sweep dataset").set_value("shapes")
    test.selectbox(key="sweep preset").set_value("fast")
    test.number_input(key="sweep epochs").set_value(9)
    test.text_area(key="sweep others").set_value("model.channels=8")
    test.multiselect(key="sweep varied").set_value(["training.lr", "training.ema", "training.optimizer"]).run()
    test.selectbox(key="scale training.lr").set_value("linear")
    test.number_input(key="from training.lr").set_value(0.001)
    test.number_input(key="to training.lr").set_value(0.5)
    test.selectbox(key="scale training.ema").set_value("list").run()
    test.text_input(key="list training.ema").set_value("0,0.9")
    test.multiselect(key="list training.optimizer").set_value(["muon"])
    test.number_input(key="sweep trials").set_value(7)
    test.number_input(key="sweep hours").set_value(2.0)
    test.number_input(key="sweep budget epochs").set_value(50)
    test.segmented_control(key="sampler").set_value("random")
    test.segmented_control(key="pruner").set_value("none")
    test.text_input(key="sweep name").set_value("mine").run()
    before = values()
    assert not [key for key in before if before[key] == first.get(key, "new")]
    to_page(test, "runs").run()
    assert to_page(test, "sweep").run().header[0].value == "Sweep" and values() == before


@pytest.mark.parametrize("where", ["~/nowhere", "none/such.zip", "flower", "text.zip", "pets/cat", "pets/dog/1.png"])
def test_a_path_gets_the_sentences_of_the_train_page(where, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "pets" / name / f"{number}.png").write_bytes(png(number))
    (tmp_path / "text.zip").write_text("no archive")
    path = where if where in ("~/nowhere", "flower") else str(tmp_path / where)
    train = form("none")
    train.session_state["form"].source = "own"
    next(field for field in train.run().text_input if field.label == "Path on this computer").set_value(path).run()
    test = new_session("sweep")
    test.session_state["sweep dataset"] = path
    test.run()
    assert [warning.value for warning in test.warning] == [warning.value for warning in train.warning] != []
    assert next(button for button in test.button if button.label == "Start sweep").disabled
    assert ("parent" in [button.key for button in test.button]) == (where == "pets/cat")
    if where == "pets/cat":
        test.button(key="parent").click().run()
        assert not test.warning and test.selectbox(key="sweep dataset").value == str(tmp_path / "pets")
        assert "6 images in 2 classes" in text(test)


def test_the_other_settings_say_how_many_differ_from_the_preset():
    def titled(lines):
        test.text_area(key="sweep others").set_value(lines).run()
        return test.expander[0].label

    test = opened("sweep")
    assert test.expander[0].label == "Other settings of all trials"
    assert titled("model.channels=8\n\ntraining.label_smoothing=0.2") == "Other settings of all trials (2 changed)"
    of_preset = build_settings(test.selectbox(key="sweep preset").value).model.channels
    assert titled(f"model.channels={of_preset}\nmodel.num_blocks=5") == "Other settings of all trials (1 changed)"
    assert titled("model.chanels=8") == titled("") == "Other settings of all trials"


def test_few_images_are_offered_smaller_batches_and_more_epochs(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    dataset = flowers(count=20)
    test = opened("sweep")
    assert "fit sweep" not in [button.key for button in test.button]
    test.selectbox(key="sweep dataset").set_value(dataset).run()
    test.text_area(key="sweep others").set_value("training.batch_size=256\nmodel.channels=8").run()
    assert "Trials of 6 steps teach a network little." in text(test)
    test.button(key="fit sweep").click().run()
    assert not test.exception and "fit sweep" not in [button.key for button in test.button]
    click(test, "Start sweep")
    plan = all_sweeps(RunStore())[0].plan()
    scan(plan.settings.data)
    images = training_images(plan.settings)
    assert plan.settings.training.batch_size < 256 and step_count(plan.settings, images) >= ENOUGH_STEPS
    assert plan.settings.model.channels == 8


def test_the_questions_of_the_report_and_lists_of_values():
    test = opened("sweep")
    click(test, "The report's questions")
    assert test.number_input(key="to model.channels").value == 128 and len(test.selectbox) == 2 + 5
    test.selectbox(key="scale model.channels").set_value("list").run()
    test.text_input(key="list model.channels").set_value("32,64").run()
    test.multiselect(key="sweep varied").set_value(["model.channels", "training.optimizer"]).run()
    click(test, "Start sweep")
    assert [d.text for d in all_sweeps(RunStore())[0].plan().space] == [
        "model.channels=32,64",
        "training.optimizer=adamw,sgd,muon,muon_sgd",
    ]


def test_what_is_wrong_is_said_and_nothing_starts():
    def start(test):
        return next(button for button in test.button if button.label == "Start sweep")

    test = opened("sweep")
    test.number_input(key="to model.num_experts").set_value(99.0).run()
    assert "“Experts per block” must be between 1 and 16. You entered 99." in text(test) and start(test).disabled
    test.number_input(key="to model.num_experts").set_value(5.0).run()
    test.number_input(key="sweep trials").set_value(0).run()
    assert "The number of trials must be greater than 0" in text(test) and start(test).disabled
    test.number_input(key="sweep trials").set_value(3).run()
    test.text_area(key="sweep others").set_value("model.chanels=3").run()
    assert "There is no setting 'model.chanels'. Did you mean “Channels”?" in text(test) and start(test).disabled
    test.text_area(key="sweep others").set_value("").run()
    test.multiselect(key="sweep varied").set_value([]).run()
    assert "Nothing varies." in text(test) and start(test).disabled and all_sweeps(RunStore()) == []
