"""What a sweep shows, where the answer is known."""

import math
from dataclasses import replace

import pytest

from expertnet.sweeps.findings import accuracy_against_cost, best_so_far, described, slice_of, what_matters
from expertnet.sweeps.plan import Budget
from expertnet.sweeps.trials import best_trials, ranked, trials_of
from tests.support.charts import drawn
from tests.support.sweeps import done, peak, started


def swept(store, accuracy=None, *vary, trials=24):
    space = vary or ("training.lr=1e-4..1e-1:log", "training.weight_decay=1e-4..1e-1:log")
    sweep = started(store, *space, sampler="random", budget=Budget(trials=trials))
    done(sweep, *([accuracy] if accuracy else []))
    return sweep.plan(), trials_of(sweep)


@pytest.mark.slow
def test_the_setting_that_decides_is_found_and_the_other_is_left_to_chance(store):
    finding = what_matters(*swept(store))
    first, second = finding.table.to_dict("records")
    assert (first["setting"], second["setting"]) == ("Learning rate", "Weight decay")
    assert first["low"] <= first["share"] <= first["high"] and first["by_chance"] < 0.05 < second["by_chance"]
    assert first["share"] + second["share"] == pytest.approx(1)
    assert "learning rate (" in finding.sentence and finding.sentence.endswith(
        "What the others explain could be chance."
    )


@pytest.mark.slow
def test_accuracies_by_chance_are_called_chance(store):
    def chance(values):  # has nothing to do with where the values lie
        return 0.5 + 0.4 * math.modf(values.training.lr * 1e7)[0]

    finding = what_matters(*swept(store, chance))
    assert finding.sentence == "Among 24 trials, no setting clearly matters more than chance would explain."


@pytest.mark.slow
def test_too_few_trials_or_settings_show_no_importance(store):
    assert what_matters(*swept(store, None, trials=9)) is None
    assert what_matters(*swept(store, None, "training.lr=1e-4..1e-1:log")) is None


def test_the_numbers_of_a_trial_are_rounded_in_words(store):
    plan, trials = swept(store, None, "training.lr=1e-4..1e-1:log", trials=2)
    trial = replace(trials[0], values={"training.lr": 0.004491523825138})
    assert described(plan, trial) == "learning rate 0.00449"


def test_the_best_quarter_of_a_drawn_setting_has_three_digits(store):
    plan, trials = swept(store, peak, "training.lr=1e-4..1e-1:log", trials=9)
    low, high = slice_of(plan, trials, "training.lr").sentence.rpartition(": ")[2].removesuffix(".").split(" to ")
    best = sorted(sorted(trials, key=lambda trial: trial.accuracy)[-2:], key=lambda trial: trial.values["training.lr"])
    assert [low, high] == [f"{trial.values['training.lr']:.3g}" for trial in best]


def test_the_pareto_front_and_the_best_so_far(store):
    accuracy = {8: 0.5, 16: 0.9, 24: 0.8, 32: 0.9}  # 24 and 32 cost more than 16 and are no better
    plan, trials = swept(store, lambda values: accuracy[values.model.channels], "model.channels=8,16,24,32", trials=9)
    table = accuracy_against_cost(trials, "parameters").table
    assert table["front"].tolist() == [True, True, False, False]
    assert "2 trials of 4 are not beaten by a cheaper one" in accuracy_against_cost(trials, "multiply_adds").sentence
    first = next(trial.number for trial in trials if trial.accuracy == 0.9)
    assert best_so_far(plan, trials).sentence == (
        f"The best is trial {first} with 90.0% of the validation images: channels {trials[first - 1].values['model.channels']}."
    )
    assert "Channels of the best quarter of the trials: " in slice_of(plan, trials, "model.channels").sentence
    for finding in (best_so_far(plan, trials), slice_of(plan, trials, "model.channels")):
        assert finding.spec["height"]


def test_a_pruned_trial_is_not_the_best(store):
    plan, trials = swept(store, peak, trials=4)
    best = best_trials(trials)[0]
    pruned = replace(best, number=5, state="pruned", accuracy=0.99)
    assert best_trials([*trials, pruned])[0] == best and best_trials([pruned]) == [pruned]
    assert best_so_far(plan, [*trials, pruned]).sentence.startswith(f"The best is trial {best.number} with")


def test_the_line_of_the_best_rises_only_with_trials_that_can_be_the_best(store):
    plan, trials = swept(store, lambda values: 0.5, trials=1)
    states = ("failed", "running", "pruned", "finished", "stopped")
    shown = [
        replace(trials[0], number=number, state=state, accuracy=0.5 + number / 100)
        for number, state in enumerate(states, 1)
    ]
    shown = [*shown[:3], replace(shown[3], accuracy=0.52), replace(shown[4], accuracy=0.51)]
    finding = best_so_far(plan, shown)
    assert finding.sentence.startswith("The best is trial 4 with 52.0%")
    assert [row["best"] for row in drawn(finding.chart)[0]] == [None, None, None, 0.52, 0.52]
    assert [trial.state for trial in ranked(shown)] == ["finished", "stopped", "pruned", "running", "failed"]


def test_a_sweep_without_trials_shows_nothing(store):
    plan = started(store).plan()
    assert best_so_far(plan, []) is slice_of(plan, [], "training.lr") is accuracy_against_cost([], "seconds") is None
