"""Whether learned routing improves accuracy: the network against its retrained controls, seed by seed."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import mean
from typing import Literal

import pandas as pd

from expertnet.charts.controls import difference_intervals
from expertnet.errors import RunError
from expertnet.findings.finding import Finding
from expertnet.network.controls import ARMS, CONTROLS, LEARNED, NAMES
from expertnet.network.cost import estimate
from expertnet.routing.retrained import Difference, Verdict, difference
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.controls import Plan, Trial, begun_plan
from expertnet.utils.text import counted, listed, percent

NOT_MEASURED = "It has not been measured whether a network trained without routing would do as well."
MARGIN = 0.005  # of accuracy, within which two networks count as equivalent by default
NAMED = 2  # controls named in a short sentence
Measured = Literal["test", "validation"]
Pairs = dict[str, dict[int, float]]  # by arm and seed: the accuracy of the network minus that of a control
INTERVALS = ("low", "high", "low_90", "high_90")
CLAUSES = {  # in the order of the sentence
    Verdict.IMPROVES: "improves accuracy over {controls}",
    Verdict.LOWERS: "lowers accuracy against {controls}",
    Verdict.EQUIVALENT: "is equivalent within {margin} to {controls}",
    Verdict.UNKNOWN: "is indistinguishable from {controls} with {seeds}",
}


def known(run: Run, store: RunStore) -> tuple[Plan, Finding] | None:
    """Return what the controls of a run say that were ever started; None if nothing can be said."""
    try:
        plan = begun_plan(run, store)
    except RunError:  # a run that cannot have controls
        return None
    finding = retrained(plan) if plan else None
    return (plan, finding) if plan and finding else None


def in_short(run: Run, store: RunStore) -> str:
    """Say without figures what the controls of a run show, or that nothing is known; "" if the run cannot have controls."""
    try:
        plan = begun_plan(run, store)
    except RunError:
        return ""
    pairs = _all_pairs(plan, "test") if plan else {}
    compared = [arm for arm in CONTROLS if pairs.get(arm)]
    if plan is None or not compared:
        return NOT_MEASURED

    def names(arms: Sequence[str]) -> str:
        if len(arms) <= NAMED:
            return listed([CONTROLS[arm] for arm in arms])
        share = "all" if len(arms) == len(compared) else f"{len(arms)} of"
        return f"{share} {len(compared)} networks trained without it"

    return f"{_progress(plan)}Learned routing {_said(pairs, _found(pairs), MARGIN, names, gates_apart=True)}"


def retrained(plan: Plan, margin: float = MARGIN, measured: Measured = "test") -> Finding | None:
    """Compare the network with its controls; None until a seed has both. `margin` is of accuracy.

    The table and the chart also have the other kinds of networks in the plan, of which the sentence says nothing.
    """
    pairs = _all_pairs(plan, measured)
    if not any(pairs[arm] for arm in CONTROLS):
        return None
    found, arms = _found(pairs), dict.fromkeys(trial.arm for trial in plan.trials)
    table = pd.DataFrame([_row(plan, arm, pairs.get(arm, {}), found.get(arm), margin, measured) for arm in arms])
    shares = ("accuracy", "gain", *INTERVALS, "smallest")
    table = table.astype(dict.fromkeys((*shares, "seconds"), float))
    compared = table[table["gain"].notna()]
    drawn = compared.assign(**{name: compared[name] * 100 for name in ("gain", *INTERVALS)})
    seeds = pd.DataFrame(
        [
            {"control": NAMES[arm], "seed": seed, "gain": value * 100}
            for arm, by_seed in pairs.items()
            for seed, value in by_seed.items()
        ]
    )

    def names(arms: Sequence[str]) -> str:
        return listed([f"{CONTROLS[arm]} ({mean(pairs[arm].values()) * 100:+.1f} points)" for arm in arms])

    single = max(len(pairs[arm]) for arm in CONTROLS) == 1
    sentence = f"{_progress(plan)}Routing {_said(pairs, found, margin, names)}"
    sentence += " One seed gives no interval: train at least 2." if single else ""
    chart, method = partial(difference_intervals, drawn, seeds, margin * 100), _method(plan, margin, measured)
    return Finding("controls", "comparison with retrained controls", sentence, chart, table, method, shares)


def brief(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the comparison that answer whether routing improves accuracy, as text. The table itself has the rest."""

    def points(values: pd.Series) -> pd.Series:
        return (values * 100).map("{:+.2f}".format).where(values.notna(), "")

    interval = (points(table["low"]) + " to " + points(table["high"])).where(table["low"].notna(), "")
    return pd.DataFrame(
        {
            "network": table["control"],
            "accuracy": [percent(None if pd.isna(value) else value, 2) for value in table["accuracy"]],
            "gain (points)": points(table["gain"]),
            "95% interval": interval,
            "routing": table["verdict"],
        }
    )


def runs_of_controls(plan: Plan) -> Finding:
    """List every run of the plan, one row per arm and seed."""
    rows = [
        {
            "control": NAMES[trial.arm],
            "seed": trial.seed,
            "run": trial.row.id if trial.row else "",
            "state": trial.state,
            "accuracy": trial.row.test if trial.row and trial.finished else None,
            "validation_accuracy": trial.row.best_validation if trial.row and trial.finished else None,
            "seconds": _seconds(trial),
        }
        for trial in plan.trials
    ]
    method = "Accuracy is that on the test set. All runs of a seed share their validation images and the order of the training images."
    if plan.run.shipped:
        method += " Of the runs that came with an included network, only the settings and results are kept."
    sentence = f"{counted(sum(trial.finished for trial in plan.distinct), 'run')} of {len(plan.distinct)} finished."
    table, shares = pd.DataFrame(rows), ("accuracy", "validation_accuracy")
    return Finding("controls-by-seed", "table of retrained runs", sentence, None, table, method, shares)


def expected_seconds(plan: Plan) -> float | None:
    """Return how long the open runs take at the speed of the run itself, scaled by their multiply-adds; None if unknown."""
    seconds, classes = plan.run.written_status().seconds, len(plan.info.classes)
    own = estimate(plan.run.settings(), classes).multiply_adds
    return seconds and sum(seconds * estimate(trial.settings, classes).multiply_adds / own for trial in plan.open)


def _accuracy(trial: Trial, measured: Measured) -> float | None:
    if trial.row is None or not trial.finished:
        return None
    return trial.row.test if measured == "test" else trial.row.best_validation


def _seconds(trial: Trial) -> float | None:
    seconds = trial.row.status.seconds if trial.row and trial.finished else None
    return seconds and round(seconds, 1)


def _differences(plan: Plan, arm: str, measured: Measured) -> dict[int, float]:
    """Return the accuracy of the network minus that of a control, by seed, where both are known."""
    own, other = (
        {trial.seed: _accuracy(trial, measured) for trial in plan.trials if trial.arm == each}
        for each in (LEARNED, arm)
    )
    pairs = ((seed, own.get(seed), other.get(seed)) for seed in plan.seeds)  # a kind may have fewer seeds
    return {seed: a - b for seed, a, b in pairs if a is not None and b is not None}


def _all_pairs(plan: Plan, measured: Measured) -> Pairs:
    arms = dict.fromkeys(trial.arm for trial in plan.trials)
    return {arm: _differences(plan, arm, measured) for arm in arms if arm != LEARNED}


def _found(pairs: Pairs) -> dict[str, Difference | None]:
    return {arm: difference(list(by_seed.values())) for arm, by_seed in pairs.items()}


def _row(
    plan: Plan, arm: str, by_seed: dict[int, float], found: Difference | None, margin: float, measured: Measured
) -> dict[str, str | float | None]:
    trials = [trial for trial in plan.trials if trial.arm == arm]
    accuracies = [value for trial in trials if (value := _accuracy(trial, measured)) is not None]
    seconds = [value for trial in trials if (value := _seconds(trial)) is not None]
    cost = estimate(trials[0].settings, len(plan.info.classes))
    return {
        "control": NAMES[arm],
        "seeds": len(accuracies),
        "accuracy": mean(accuracies) if accuracies else None,
        "gain": mean(by_seed.values()) if by_seed else None,
        **{name: getattr(found, name, None) for name in (*INTERVALS, "smallest")},
        "verdict": found.verdict(margin).value if found and arm in CONTROLS else "",
        "seconds": round(mean(seconds), 1) if seconds else None,
        "multiply_adds": cost.multiply_adds,
        "parameters": cost.parameters,
    }


def _progress(plan: Plan) -> str:
    finished = [trial.finished for trial in plan.distinct if trial.arm in ARMS]
    return "" if all(finished) else f"Partial results, {sum(finished)} of {len(finished)} runs: "


def _said(
    pairs: Pairs,
    found: dict[str, Difference | None],
    margin: float,
    names: Callable[[Sequence[str]], str],
    gates_apart: bool = False,
) -> str:
    """Say after "Routing" how it compares with every control that can be compared. `names` says how controls are called.

    If channel gates make experts superfluous, a second sentence says so. With `gates_apart`, the first then leaves them out.
    """
    groups: dict[Verdict, list[str]] = {}
    for arm in CONTROLS:
        if pairs[arm]:
            said = found[arm]
            groups.setdefault(said.verdict(margin) if said else Verdict.UNKNOWN, []).append(arm)
    gates = next((verdict for verdict, arms in groups.items() if "gates" in arms), None)
    superfluous = Verdict.IMPROVES in groups and gates in (Verdict.EQUIVALENT, Verdict.LOWERS)
    clauses = []
    for verdict, clause in CLAUSES.items():
        arms = [arm for arm in groups.get(verdict, []) if not (gates_apart and superfluous and arm == "gates")]
        if arms:
            seeds = counted(min(len(pairs[arm]) for arm in arms), "seed")
            clauses.append(clause.format(controls=names(arms), margin=f"{margin * 100:g} points", seeds=seeds))
    well = "better" if gates == Verdict.LOWERS else "as well"
    gated = (
        f" Channel gates, which scale the channels for each image, do {well} without experts." if superfluous else ""
    )
    return f"{listed(clauses, ';')}.{gated}"


def _method(plan: Plan, margin: float, measured: Measured) -> str:
    where = (
        "Accuracy is on the test set, after the last epoch, with no checkpoint selection."
        if plan.run.watches_test
        else "Accuracy is on the test set. No choice was made on it: the validation images chose the epoch of every network."
        if measured == "test"
        else "Accuracy is on the validation images, which also chose the epoch of every network, so it is too high for all of "
        "them. Use it while you still change the network, and the test set at the end."
    )
    return (
        "Every control is trained with the run's images, recipe and number of epochs. Networks with one expert are as much wider "
        "as comes closest to the run's multiply-adds or parameters; two such networks can be the same. No recipe is tuned. "
        "A difference is the accuracy with learned routing minus that of the control with the same seed. Intervals are by "
        "Student's t over the seeds (thin: 95%, thick: 90%, ticks: single seeds). They cover what the seed changes, on the same "
        "test set. Routing improves or lowers accuracy if the 95% interval excludes 0. It is equivalent if the "
        f"90% interval lies within ±{margin * 100:g} points, even if it excludes 0 (two one-sided tests; Schuirmann 1987). "
        "Differences that are the same for all seeds show no spread. They have no interval, and are indistinguishable. Each "
        "comparison may be wrong in 5% of cases. Smallest is the true difference that so many seeds detect with a probability of 80%, "
        f"given the spread of these differences. Other kinds of networks of experts are compared in the same way, and the sentence "
        f"leaves them out, since they route too. {where} Seconds are the measured mean time of a run, and depend on the computer."
    )
