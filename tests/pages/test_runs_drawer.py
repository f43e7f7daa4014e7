"""One run in the drawer: its name, tags, note, curves and settings."""

from expertnet.store.notes import Notes
from expertnet.training.trackers.record import Tracked, write_tracked
from expertnet.utils.processes import this_process
from tests.support.opening import to_page, written
from tests.support.runs_page import field, names, page, press, sound, specs


def test_one_form_changes_name_tags_and_note(store):
    run = written(store, "before")
    test = page(open=run.id)
    field(test, "Name").set_value("<script>alert(1)</script>")
    field(test, "Tags").set_value("baseline, to *repeat*, Baseline")
    field(test, "Note").set_value("# no heading")
    press(test, "Save")
    assert run.notes() == Notes("<script>alert(1)</script>", ("baseline", "to *repeat*"), "# no heading")
    assert names(test) == ["<script>alert(1)</script>"]
    assert [list(tags) for tags in test.dataframe[0].value["Tags"]] == [["baseline", "to *repeat*"]]
    assert [text.value for text in test.text] == ["# no heading"]  # as text, not as Markdown
    assert field(test, "Name").value == "<script>alert(1)</script>"
    field(test, "Name").set_value("")
    assert names(press(test, "Save")) == ["before"]


def test_text_that_is_too_long_is_refused_with_the_limit(store):
    run = written(store, "before")
    test = page(open=run.id)
    field(test, "Name").set_value("n" * 81)
    assert [error.value for error in press(test, "Save").error] == [
        "The name has 81 characters. Shorten it to at most 80."
    ]
    field(test, "Name").set_value("short")
    field(test, "Tags").set_value("t" * 41)
    assert "has 41 characters. Shorten it to at most 40" in press(test, "Save").error[0].value
    assert run.notes() == Notes() and names(test) == ["before"]
    run.annotate(Notes("", tuple(map(str, range(20))), ""))
    test = page(run, written(store, "other"))
    field(test, "Tags").set_value("one more")
    assert "A run can have at most 20 tags. This would make 21." in press(test, "Add to all").error[0].value
    assert len(run.notes().tags) == 20


def test_saving_the_form_as_it_is_gives_no_new_name(store):
    run = written(store, "before")
    test = page(open=run.id)
    press(test, "Save")
    assert run.notes() == Notes()


def test_the_form_shows_what_another_tab_has_saved(store):
    run = written(store, "before")
    test = page(open=run.id)
    field(test, "Name").set_value("typed here")
    run.annotate(Notes("saved there", ("new",), ""))
    sound(test.run())
    assert field(test, "Name").value == "saved there" and field(test, "Tags").value == "new"


def test_a_run_can_be_named_while_it_trains_but_not_deleted(store):
    run = written(store, "live")
    run.write_status(run.written_status().changed(process=this_process(), state="running"))
    test = page(open=run.id)
    labels = [button.label for button in test.button]
    assert "Stop" in labels and "Save" in labels and "Delete this run" not in labels


def test_the_drawer_shows_the_full_name_the_curves_and_the_settings(store):
    run = written(store, "n" * 80, **{"training.lr": 0.0125})
    write_tracked(run.path, "mlflow", Tracked(url="http://here:5000/#/runs/1", error="no answer *yet*"))
    write_tracked(run.path, "wandb", Tracked(url="javascript:alert(1)", command="wandb sync here"))
    assert names(page())[0].endswith("n…")
    test = page(open=run.id)
    assert [dialog.proto.dialog.title for dialog in test.get("dialog")] == ["n" * 80]
    assert [spec["title"] for spec in specs(test)] == ["Accuracy", "Loss"]
    settings = test.dataframe[1].value.set_index("Setting")["Value"]
    assert settings["Learning rate"] == "0.0125"
    assert [link.proto.url for link in test.get("link_button")] == ["http://here:5000/#/runs/1"]
    assert "wandb sync here" in [code.value for code in test.code]
    assert "MLflow could not be reached: no answer \\*yet\\*" in [caption.value for caption in test.caption]


def test_a_run_in_the_url_that_is_gone_is_named(store):
    written(store, "one")
    test = page(open="20200101-000000-abcd")
    assert ["no run at this URL" in toast.value for toast in test.toast] == [True] and "open" not in test.query_params


def test_the_drawer_stays_open_if_the_browser_sends_the_url_from_before_and_is_closed_after_another_page(store):
    run = written(store, "one")
    test = press(page(run), "Open run")

    def drawers():
        return len(sound(test.run()).get("dialog"))

    del test.query_params["open"]
    assert drawers() == 1 and test.query_params["open"] == run.id
    for name in ("train", "runs"):
        to_page(test, name)
        test.query_params.clear()
        assert drawers() == 0
