"""What is said about retrained controls, on accuracies whose answers are known."""

import pytest

from expertnet.charts.base import to_file
from expertnet.findings.controls import NOT_MEASURED, brief, expected_seconds, in_short, retrained, runs_of_controls
from expertnet.network.controls import ARMS, CONTROLS
from expertnet.store.run_store import RunStore
from expertnet.training.controls import plan_controls
from tests.support.controls import measured, original, with_controls

WIDE = {  # whose controls all differ
    "model.num_blocks": 2,
    "model.pool_after": (1, 2),
    "model.widths": (32, 64),
}


def finding(accuracies, margin=0.005, **settings):
    """The finding on networks with these accuracies by arm, for the seeds from 0 on."""
    store = RunStore()
    run = original(store, test=accuracies["learned"][0], **settings)
    plan = with_controls(run, store, accuracies)
    return retrained(plan, margin), plan


def row(table, control):
    return table[table["control"] == control].iloc[0]


def test_the_gain_over_a_control_on_paper():
    """Gains of 3, 2 and 4 points: 3 on average, with a standard error of 1 / sqrt(3), and t = 4.3027 for 2 degrees of freedom."""
    found, _ = finding({"learned": [0.90, 0.91, 0.92], "uniform": [0.87, 0.89, 0.88]})
    uniform = row(found.table, "equal weights")
    half = 0.01 / 3**0.5 * 4.3027
    assert uniform["gain"] == pytest.approx(0.03)
    assert (uniform["low"], uniform["high"]) == pytest.approx((0.03 - half, 0.03 + half), abs=1e-6)
    assert uniform["verdict"] == "improves accuracy" and uniform["seeds"] == 3 and uniform["seconds"] == 60
    assert row(found.table, "learned routing")["accuracy"] == pytest.approx(0.91)
    assert "Routing improves accuracy over equal weights (+3.0 points)." in found.sentence


def test_one_sentence_groups_the_controls_by_what_they_say():
    accuracies = {
        "learned": [0.90, 0.91, 0.92],
        "uniform": [0.87, 0.88, 0.8901],
        "multiply_adds": [0.899, 0.9101, 0.9199],
        "parameters": [0.95, 0.91, 0.86],
    }
    found, _ = finding(accuracies, **WIDE)
    assert found.sentence.endswith(
        "Routing improves accuracy over equal weights (+3.0 points); is equivalent within 0.5 points to one expert of equal "
        "multiply-adds (+0.0 points); and is indistinguishable from one expert of equal parameters (+0.3 points) with 3 seeds."
    )


def test_in_short_few_controls_are_named_and_many_are_counted():
    store = RunStore()
    run = original(store, test=0.9, **WIDE)
    assert in_short(run, store) == NOT_MEASURED
    worse = {arm: [0.7, 0.72, 0.71] for arm in ("uniform", "random", "multiply_adds", "parameters")}
    with_controls(run, store, {"learned": [0.90, 0.91, 0.92], "gates": [0.899, 0.9101, 0.9199]} | worse)
    assert in_short(run, store) == (
        "Learned routing improves accuracy over 4 of 5 networks trained without it. "
        "Channel gates, which scale the channels for each image, do as well without experts."
    )


def test_gates_are_said_to_do_as_well_only_if_routing_matters():
    same = [0.899, 0.9101, 0.9199]
    accuracies = {"learned": [0.90, 0.91, 0.92], "gates": same}
    better, _ = finding(accuracies | {"uniform": [0.87, 0.88, 0.8901], "gates": [0.95, 0.96, 0.9701]})
    equal, _ = finding(accuracies | {"uniform": same}, **WIDE)
    assert better.sentence.endswith(
        ". Channel gates, which scale the channels for each image, do better without experts."
    )
    assert equal.sentence.endswith("one expert with channel gates (+0.0 points).")


def test_in_short_all_controls_that_say_the_same_are_counted_too():
    store = RunStore()
    run = original(store, test=0.9, **WIDE)
    with_controls(run, store, {arm: [0.9, 0.91] if arm == "learned" else [0.7, 0.72] for arm in ARMS})
    assert in_short(run, store) == "Learned routing improves accuracy over all 5 networks trained without it."


def test_in_short_and_with_figures_the_seeds_are_those_of_the_clause():
    store = RunStore()
    run = original(store, test=0.9, **WIDE)
    learned, noise = [0.90, 0.91, 0.92], [0.95, 0.91, 0.86]
    plan = with_controls(run, store, {"learned": learned, "uniform": [0.80, 0.8101], "parameters": noise})
    short, whole = in_short(run, store), retrained(plan).sentence
    assert short.endswith(
        "Learned routing improves accuracy over equal weights; and "
        "is indistinguishable from one expert of equal parameters with 3 seeds."
    )
    assert whole.endswith("one expert of equal parameters (+0.3 points) with 3 seeds.")


def test_in_short_nothing_is_said_of_a_run_that_cannot_have_controls():
    store = RunStore()
    assert in_short(original(store, **{"model.routing": "uniform"}), store) == ""


def test_the_brief_table_has_what_answers_the_question_in_points():
    """Gains of 3, 2 and 4 points, as above: 3 on average, 0.52 to 5.48."""
    found, _ = finding({"learned": [0.90, 0.91, 0.92], "uniform": [0.87, 0.89, 0.88]})
    shown = brief(found.table)
    assert list(shown) == ["network", "accuracy", "gain (points)", "95% interval", "routing"]
    assert shown.iloc[0].tolist() == ["learned routing", "91.00%", "", "", ""]
    assert shown.iloc[1].tolist() == ["equal weights", "88.00%", "+3.00", "+0.52 to +5.48", "improves accuracy"]


@pytest.mark.slow
def test_other_kinds_are_in_the_table_once_trained_and_not_in_the_sentence():
    accuracies = {arm: [0.90 - place / 100, 0.91 - place / 90] for place, arm in enumerate(("learned", *CONTROLS))}
    plain, _ = finding(accuracies, **WIDE)
    found, plan = finding(accuracies | {"kernels": [0.89, 0.88], "top_1": [0.91]}, **WIDE)
    kernels, top_1 = row(found.table, "mixed kernels"), row(found.table, "balanced top 1 of K")
    assert found.sentence == plain.sentence and not plan.open
    assert (
        kernels["gain"] == pytest.approx(0.02) and kernels["low"] < 0.02 < kernels["high"] and kernels["seconds"] == 60
    )
    assert kernels["multiply_adds"] < row(found.table, "learned routing")["multiply_adds"]
    assert (top_1["seeds"], kernels["verdict"]) == (1, "") and top_1["gain"] == pytest.approx(-0.01)
    assert len(found.table) == len(plain.table) + 2 and b"mixed kernels: +2.00 points" in to_file(found.chart, "svg")
    asked = plan_controls(plan.run, RunStore(), 2, ["top_1"])
    assert [(trial.arm, trial.seed) for trial in asked.open] == [("top_1", 1)]


def test_a_control_that_does_better_is_a_cost():
    costs, _ = finding({"learned": [0.90, 0.91, 0.92], "uniform": [0.93, 0.94, 0.9501]})
    assert "Routing lowers accuracy against equal weights (-3.0 points)." in costs.sentence


def test_a_wider_margin_makes_a_gain_equivalent():
    accuracies = {"learned": [0.90, 0.91, 0.92], "uniform": [0.87, 0.88, 0.8901]}
    found, plan = finding(accuracies)
    assert row(found.table, "equal weights")["verdict"] == "improves accuracy"
    assert row(retrained(plan, 0.05).table, "equal weights")["verdict"] == "equivalent"


def test_one_seed_has_no_interval_and_says_so():
    found, _ = finding({"learned": [0.9], "uniform": [0.8]})
    assert found.sentence.endswith("with 1 seed. One seed gives no interval: train at least 2.")
    assert row(found.table, "equal weights").isna()["low"] and row(found.table, "equal weights")["verdict"] == ""
    assert b"equal weights: +10.00 points" in to_file(found.chart, "svg")


def test_partial_results_say_how_many_runs_have_finished():
    found, plan = finding({"learned": [0.9, 0.9], "uniform": [0.8]})
    assert len(plan.distinct) == 2 * len(CONTROLS)  # equal multiply-adds and parameters are one network
    assert found.sentence.startswith(f"Partial results, 3 of {len(plan.distinct)} runs: Routing")
    assert runs_of_controls(plan).sentence == f"3 runs of {len(plan.distinct)} finished."
    whole, plan = finding({arm: [0.9 - place / 100] for place, arm in enumerate(("learned", *CONTROLS))}, **WIDE)
    assert whole.sentence.startswith("Routing") and not plan.open


def test_nothing_is_said_before_a_seed_has_both():
    store = RunStore()
    run = original(store)
    assert retrained(plan_controls(run, store, 1)) is None
    assert retrained(with_controls(run, store, {"learned": [0.9]})) is None


def test_the_accuracy_is_that_of_the_test_set_unless_the_validation_images_are_asked_for():
    store = RunStore()
    run = original(store, test=0.9)
    plan = plan_controls(run, store, 1)
    uniform = next(trial for trial in plan.trials if trial.arm == "uniform")
    measured(store.create(uniform.settings, own=run.dataset_info()), 0.85, validation=0.78)
    plan = plan_controls(run, store, 1)
    on_test, on_validation = retrained(plan), retrained(plan, measured="validation")
    assert row(on_test.table, "equal weights")["gain"] == pytest.approx(0.05)
    assert row(on_validation.table, "equal weights")["gain"] == pytest.approx(0.02)
    assert "No choice was made on it" in on_test.method and "which also chose the epoch" in on_validation.method


def test_without_validation_images_nothing_chose_the_epoch():
    found, _ = finding({"learned": [0.9], "uniform": [0.8]}, **{"data.validation_share": 0.0})
    assert "after the last epoch, with no checkpoint selection" in found.method


def test_the_time_of_what_is_missing_is_scaled_by_its_multiply_adds():
    """Each training takes about as many multiply-adds as the run, which took 60 seconds, within 2%."""
    store = RunStore()
    plan = plan_controls(original(store, **WIDE), store, 2)
    assert expected_seconds(plan) == pytest.approx(60 * len(plan.open), rel=0.02)
