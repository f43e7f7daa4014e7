"""Model cards."""

import json
import re

import pytest
from huggingface_hub import ModelCard

from expertnet.errors import RunError
from expertnet.evaluation.calibration import calibration
from expertnet.evaluation.outputs import cached_temperature, measure_outputs
from expertnet.findings.card import measure_for_card, model_card
from expertnet.inference.novelty import measure_novelty
from expertnet.settings.fields import build_settings, command_line
from expertnet.store.notes import Notes
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.transfer.export_network import network_file
from expertnet.utils.text import percent
from tests.support.lab import save_best, saved_run
from tests.support.opening import ROOT, SHIPPED_CONTEXTS, SHIPPED_DIGITS, finished


def section(card, title):
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0]


def front_matter(card):
    """The front matter is YAML of which every value is JSON."""
    lines = card.split("---\n")[1].splitlines()
    return {
        key: json.loads(value) if value[0] in '[{"' else value for key, value in (line.split(": ", 1) for line in lines)
    }


def test_a_card_has_figures_with_intervals():
    """357 of 359 by R's binom::binom.confint(357, 359, method = "wilson"): 0.9799 to 0.9985. 141 of 143 by SciPy's binomtest."""
    card = model_card(Run(SHIPPED_DIGITS))
    assert "| test images | 99.44% | 97.99% to 99.85% | 359 |" in section(card, "Results")
    assert "| validation images | 98.60% | 95.04% to 99.62% | 143 |" in section(card, "Results")
    (model,) = front_matter(card)["model-index"]
    assert model["name"] == "Handwritten digits"
    figures = {each["name"]: each["value"] for each in model["results"][0]["metrics"]}
    assert figures["test images"] == pytest.approx(357 / 359)


@pytest.mark.parametrize("run", [run for run in RunStore(ROOT / "runs").list() if run.shipped], ids=lambda run: run.id)
def test_the_card_of_an_included_network_trains_it_again_whatever_its_preset_has_become(run):
    assert run.card().endswith(f"\n    {command_line(run.settings(), run.preset)}\n")


def test_a_card_says_what_routing_does_where_it_was_measured():
    assert "relies on per-image routing" in section(model_card(Run(SHIPPED_CONTEXTS)), "Routing")


def test_a_card_is_not_given_away_with_the_weights_of_another_epoch(tmp_path):
    """The training has saved a better epoch while the weights were exported."""
    run = saved_run(tmp_path)
    _, epoch = network_file(run, "best")
    assert model_card(run, "best", epoch) == model_card(run)
    save_best(run, epoch + 1)
    with pytest.raises(
        RunError, match=r"saved epoch 2 during the export of epoch 1\. The model card would describe other"
    ):
        model_card(run, "best", epoch)


def test_what_was_not_measured_is_said_to_be_missing(tmp_path):
    card = model_card(saved_run(tmp_path))
    assert "Nothing was measured" in section(card, "Results") and "Not measured yet" in section(card, "Routing")
    assert front_matter(card)["model-index"][0]["results"] == []


def test_a_card_says_which_blocks_have_experts_and_nothing_about_routing_to_a_single_one(tmp_path):
    card = model_card(saved_run(tmp_path / "some", num_experts=2, expert_blocks=(2, 3)))
    assert "There are 2 experts in blocks 2 and 3, whose weights a router sets for every image." in card
    card = model_card(saved_run(tmp_path / "one", num_experts=1))
    assert "Each block has a single expert, so there is nothing to route." in card and "## Routing" not in card


def test_a_run_that_ended_early_without_validation_images_keeps_its_test_accuracy(tmp_path):
    run = saved_run(tmp_path)  # of one epoch
    data = run.config()["data"] | {"validation_share": 0.0}
    run.write_config(run.config() | {"data": data, "training": run.config()["training"] | {"epochs": 9}})
    epoch = run.checkpoints.epoch("best")
    run.write_status(run.status().changed(state="finished", epoch=epoch, epochs=9, test_accuracy=0.5, test_images=40))
    assert "| test images | 50.00% |" in section(model_card(run), "Results")


def test_the_weakest_classes_are_named():
    limits = section(model_card(Run(SHIPPED_DIGITS)), "Limits")
    found = [int(right) / int(count) for right, count in re.findall(r"\((\d+) of (\d+);", limits)]
    assert found == sorted(found) and 0 < len(found) <= 3 and found[-1] < 1  # none that is always recognized


def test_model_hubs_read_the_card():
    card = ModelCard(model_card(Run(SHIPPED_DIGITS)))
    (first, *_) = card.data.eval_results
    assert (card.data.library_name, card.data.pipeline_tag) == ("expertnet", "image-classification")
    assert (first.dataset_name, first.metric_type, first.metric_value) == (
        "digits",
        "accuracy",
        pytest.approx(357 / 359),
    )
    assert card.text.lstrip().startswith("# Handwritten digits\n")


def test_calibration_is_in_the_card_once_it_is_measured():
    run = finished(RunStore())
    assert "trusted has not been measured" in model_card(run)
    outputs = measure_outputs(run, "test")
    share = percent(calibration(outputs.logits, outputs.labels).ece)
    assert f"off by {share} on average (expected calibration error)." in section(model_card(run), "Limits")
    temperature = measure_outputs(run, "validation").temperature
    after = percent(calibration(outputs.logits, outputs.labels, temperature).ece)
    assert f", and by {after} once the logits are divided by the temperature {temperature:.2f}" in model_card(run)
    assert after != share


def test_what_is_measured_for_a_card_calibrates_the_run():
    run = finished(RunStore())
    assert measure_for_card(run) and cached_temperature(run) is not None
    assert not measure_for_card(run)


def test_a_card_says_how_many_images_the_unlike_score_was_set_on_and_that_similar_ones_pass():
    run = finished(RunStore())
    assert "unlike" not in model_card(run)
    held_out = measure_novelty(run).held_out
    (line,) = [line for line in section(model_card(run), "Limits").splitlines() if "unlike-score" in line]
    limit = held_out.quantile(0.95).item()
    assert f"above {limit:.2f}. Of {len(held_out)} images" in line and "look similar to the network pass" in line


def test_test_figures_belong_to_the_best_epoch_alone():
    run = finished(RunStore(), **{"training.keep_every": 1})
    best = run.status().best_epoch
    for epoch, kind in run.checkpoints.saved_epochs().items():
        assert ("| test images |" in model_card(run, kind)) == (epoch == best)


def test_a_card_says_nothing_about_the_test_images_that_only_some_runs_do():
    """A run that was stopped has not used them, and calibration uses them with any weights."""
    run = finished(RunStore(), **{"training.keep_every": 1})
    best, epochs = run.status().best_epoch, run.checkpoints.saved_epochs()
    run.write_status(run.status().changed(state="stopped", test_accuracy=None))
    results = section(model_card(run), "Results")
    assert "The test images had no part in the choice." in results and "at the end" not in results
    other = next(kind for epoch, kind in epochs.items() if epoch != best)
    results = section(model_card(run, other), "Results")
    assert f"Epoch {best} has the best accuracy on the validation images." in results and "test" not in results


def test_a_card_shows_what_users_name_as_text_and_no_path():
    run = finished(RunStore())
    run.annotate(Notes("<script>x</script> [a](http://b) `c`\n## d"))
    config = run.config()
    config["data"]["dataset"] = "/home/me/birds"
    config["dataset"] |= {"name": "birds", "classes": [f"<b>{n}" for n in range(10)]}
    run.write_config(config)
    card = model_card(run)
    body = card.split("---\n", 2)[2]
    assert "<script" not in body and "<b>" not in body and "\n## d" not in body and "(http:" not in body
    assert "/home" not in card and "--dataset birds" in section(card, "Training")
    config["data"]["dataset"] = "birds@2"  # which the command finds
    run.write_config(config)
    assert "--dataset birds@2" in section(model_card(run), "Training")


def test_the_command_trains_with_these_settings():
    command = section(model_card(Run(SHIPPED_CONTEXTS)), "Training")
    settings = Run(SHIPPED_CONTEXTS).settings()
    changes = dict(re.findall(r"--set (\S+)=(\S+)", command))
    assert build_settings("quick", "contexts", changes) == settings
