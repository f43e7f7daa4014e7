"""What the trials of a sweep show, as findings: a sentence, a chart, a table and the method."""

from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from expertnet.charts.sweeps import importance_bars, over_time, pareto_plot, slice_plot
from expertnet.findings.finding import Finding
from expertnet.sweeps.importance import FEWEST, TOP, importances
from expertnet.sweeps.plan import PRUNERS, SAMPLERS, Plan
from expertnet.sweeps.space import Dimension
from expertnet.sweeps.trials import Trial, best_trials, trial_table, value_text
from expertnet.utils.text import counted, percent, plural

Cost = Literal["multiply_adds", "parameters", "seconds"]
COSTS: dict[Cost, str] = {
    "multiply_adds": "multiply-adds per image",
    "parameters": "parameters",
    "seconds": "seconds of training",
}
SURE = 0.05  # of the importance of one setting being chance


def _measured(trials: list[Trial]) -> list[Trial]:
    """Return the trials that have an accuracy, those that still train included."""
    return [trial for trial in trials if trial.accuracy is not None]


def described(plan: Plan, trial: Trial) -> str:
    """Return the values of a trial in words, such as "learning rate 0.01, blocks 3"."""
    return ", ".join(f"{d.field.label.lower()} {value_text(trial.values[d.key])}" for d in plan.space)


def best_so_far(plan: Plan, trials: list[Trial]) -> Finding | None:
    """Show the accuracy of each trial and the best so far; None before the first epoch."""
    measured, best = _measured(trials), best_trials(trials)
    if not measured:
        return None
    rows = [(trial.number, trial.state, trial.accuracy) for trial in measured]
    drawn = pd.DataFrame(rows, columns=["trial", "state", "accuracy"])
    counts = [trial.accuracy if trial.known and trial.state != "pruned" else None for trial in measured]
    drawn["best"] = pd.Series(counts, dtype=float).cummax().ffill()
    sentence = "No trial has ended yet."
    if best:
        sentence = (
            f"The best is trial {best[0].number} with {percent(best[0].accuracy)} of the validation images: "
            f"{described(plan, best[0])}."
        )
    method = (
        "Accuracy is the best one on the validation images in any epoch so far, which are the same for all trials. That of the best "
        "trial is too high, because it is partly lucky: train the best ones with several seeds. Pruned trials rank after the others, "
        "and those that failed or still train do not count. "
        f"Search: {plan.sampler}. {SAMPLERS[plan.sampler]} Pruning: {plan.pruner}. {PRUNERS[plan.pruner]}"
    )
    return Finding("trials", "chart of the trials", sentence, partial(over_time, drawn), trial_table(trials), method)


def what_matters(plan: Plan, trials: list[Trial]) -> Finding | None:
    """Show how much each setting matters; None for one setting or too few trials."""
    known = [trial for trial in trials if trial.known]
    if len(plan.space) < 2 or len(known) < FEWEST:
        return None
    table = importances(
        plan.space, tuple((tuple(_raw(d, trial) for d in plan.space), float(trial.accuracy or 0.0)) for trial in known)
    )
    clear = table[table["by_chance"] <= SURE]
    sentence = f"Among {counted(len(known), 'trial')}, no setting clearly matters more than chance would explain."
    if len(clear):
        parts = [
            f"{str(row.setting).lower()} ({row.share:.0%}, {row.low:.0%} to {row.high:.0%})"
            for row in clear.itertuples()
        ]
        rest = "" if len(clear) == len(table) else " What the others explain could be chance."
        sentence = f"What separates the best {TOP:.0%} of {counted(len(known), 'trial')}: {', '.join(parts)}.{rest}"
    method = (
        f"Importance is by PED-ANOVA (Watanabe 2023, arXiv:2304.10255): how far the values of the best {TOP:.0%} of the trials differ "
        "from those of all. Pruned trials count with their accuracy so far. Lines are 90% intervals, by drawing the trials again "
        "with replacement. A setting counts if at most 5% of shuffled accuracies give it as much, which holds for each setting by "
        "itself, not for all together. Importance depends on the range in which a setting varied."
    )
    return Finding("importance", "chart of importance", sentence, partial(importance_bars, table), table, method)


def _raw(dimension: Dimension, trial: Trial) -> object:
    """Return a value as the search has it: the choices of a list are text."""
    value = trial.values[dimension.key]
    if not dimension.choices or isinstance(value, str):
        return value
    return next(choice for choice in dimension.choices if dimension.typed(choice) == value)


def slice_of(plan: Plan, trials: list[Trial], key: str) -> Finding | None:
    """Show one setting against the accuracy; None before the first epoch."""
    measured = _measured(trials)
    if not measured:
        return None
    dimension = next(d for d in plan.space if d.key == key)
    table = trial_table(measured)[["trial", "state", "accuracy", key]].rename(columns={key: "value"})
    ended = table[[trial.known for trial in measured]]
    sentence = f"{dimension.field.label} against the accuracy."
    if len(ended) >= 4:
        top = ended.nlargest(max(len(ended) // 4, 1), "accuracy")["value"]
        shown = f"{value_text(top.min())} to {value_text(top.max())}"
        if not dimension.is_numeric or top.nunique() == 1:
            shown = ", ".join(map(value_text, dict.fromkeys(top)))
        sentence = f"{dimension.field.label} of the best quarter of the trials: {shown}."
    method = (
        "Each point is a trial. The best quarter counts all trials that have ended, including pruned ones. Other settings vary at "
        "the same time, so look at importance before you read a trend."
    )
    chart = partial(slice_plot, table, dimension.field.label, dimension.log)
    return Finding("slice", "chart of a setting", sentence, chart, table, method)


def accuracy_against_cost(trials: list[Trial], cost: Cost) -> Finding | None:
    """Show which trials are not beaten in accuracy by a cheaper one; None before the first trial has ended."""
    known = [trial for trial in trials if trial.known]
    if not known:
        return None
    table = trial_table(known)[["trial", "state", "accuracy", cost]].rename(columns={cost: "cost"})
    table = table.sort_values(["cost", "accuracy"], ascending=[True, False], ignore_index=True)
    before = np.concatenate([[-np.inf], table["accuracy"].cummax().to_numpy()[:-1]])
    table["front"] = table["accuracy"] > before
    front = table[table["front"]]
    first, last = front.iloc[0], front.iloc[-1]
    sentence = (
        f"{counted(len(front), 'trial')} of {len(table)} {plural(len(front), 'is', 'are')} not beaten by a cheaper one, from trial "
        f"{first['trial']} ({percent(first['accuracy'])} at {first['cost']:,.0f}) to trial {last['trial']} "
        f"({percent(last['accuracy'])} at {last['cost']:,.0f} {COSTS[cost]})."
    )
    method = (
        f"Cost is the {COSTS[cost]}. The line is the Pareto front: its trials have a higher accuracy than every cheaper one. Trials "
        "are pruned on accuracy alone."
    )
    return Finding(
        "cost", "chart of accuracy and cost", sentence, partial(pareto_plot, table, COSTS[cost]), table, method
    )
