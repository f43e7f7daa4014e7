"""The sweep in view: how far it is, what its trials show, and what you can do with it."""

from functools import partial
from math import ceil

import pandas as pd
import streamlit as st

from expertnet.charts.base import specification
from expertnet.charts.run_settings import parallel
from expertnet.errors import UserError
from expertnet.findings.finding import Finding
from expertnet.store.status import epochs_text
from expertnet.sweeps.driver import driver
from expertnet.sweeps.engine import EXHAUSTED, resume_sweep, stop_sweep
from expertnet.sweeps.findings import COSTS, accuracy_against_cost, best_so_far, slice_of, what_matters
from expertnet.sweeps.importance import FEWEST
from expertnet.sweeps.plan import Budget, Plan
from expertnet.sweeps.study import dashboard_command
from expertnet.sweeps.sweep import ACTIVE, Sweep, SweepStatus
from expertnet.sweeps.trials import Trial, ranked, trials_of, value_text
from expertnet.training.manager import manager
from expertnet.training.stop import stop_run
from expertnet.ui.auth import login
from expertnet.ui.background import in_background
from expertnet.ui.chart import show_chart
from expertnet.ui.finding import show
from expertnet.ui.shell import action, link, shown_error, state_label, state_mark
from expertnet.ui.sweep.deletion import deletion
from expertnet.ui.sweep.follow_up import follow_up
from expertnet.utils.text import counted, duration, escape

TICK = 2.0  # seconds
VIEWS = ("Trials", "What matters", "One setting", "All settings", "Accuracy and cost")
AT_ONCE, ANEW = 300, 50  # trials whose importance a tick computes, and by how many more a task computes it again
SHOWN = 300  # rows of the table
MORE = 10  # trials that a larger budget adds


def live_view(sweep: Sweep) -> None:
    """Draw a sweep, and keep it fresh while it is active."""
    drawn = sweep.status().state

    def look() -> None:
        with shown_error():
            status = sweep.status()
            if status.state != drawn or not sweep.has_plan:
                st.rerun()  # once, for the buttons, or because another tab has deleted the sweep
            try:
                trials = trials_of(sweep)
            except UserError:  # a damaged sweep, or one whose database is gone, can be deleted too
                if status.state not in ACTIVE:
                    deletion(st.container(), sweep)
                raise
            _progress(sweep.plan(), status, trials)
            _actions(sweep, status, trials)
            _views(sweep, status, trials)
            _table(sweep.plan(), trials)
            if any(trial.known for trial in trials):
                follow_up(sweep)
            if trials and (command := dashboard_command(sweep)):
                st.caption("Optuna's own dashboard opens the same study:")
                st.code(command, language="bash", wrap_lines=True)

    login.fragment(look, run_every=TICK if drawn in ACTIVE else None)()


def _progress(plan: Plan, status: SweepStatus, trials: list[Trial]) -> None:
    epochs, seconds = sum(trial.epoch for trial in trials), sum(trial.seconds for trial in trials)
    budget = plan.budget
    shares = [
        len([trial for trial in trials if not trial.active]) / budget.trials if budget.trials else 0.0,
        seconds / 3600 / budget.hours if budget.hours else 0.0,
        epochs / budget.epochs if budget.epochs else 0.0,
    ]
    facts = [counted(len(trials), "trial"), counted(epochs, "epoch"), f"{duration(seconds)} of training"]
    # The limit that ended the sweep may be one of the facts
    why = f", {escape(status.reason)}" if status.reason not in ("", *facts) and status.state != "failed" else ""
    st.progress(min(max(shares), 1.0), text=f"{state_label(status.state)}{why} · {' · '.join(facts)}")
    if status.state == "failed":
        st.error(escape(status.reason), icon=":material/error:")


def _actions(sweep: Sweep, status: SweepStatus, trials: list[Trial]) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    if status.state == "running":
        help = "Stops the trial in training too. You can resume both."
        action(row, "Stop sweep", "stop_circle", "stop sweep", lambda: stop_sweep(sweep), help=help, type="primary")
    elif status.state != "stopping":

        def resume(budget: Budget | None = None) -> None:
            resume_sweep(sweep, budget)
            driver(sweep.store)

        if status.state in ("stopped", "interrupted"):
            action(row, "Resume sweep", "play_arrow", "resume sweep", resume, type="primary")
        elif status.reason != EXHAUSTED:
            budget, grown = sweep.plan().budget, 1 + MORE / max(len(trials), 1)
            more = Budget(
                trials=len(trials) + MORE,
                hours=budget.hours and budget.hours * grown,
                epochs=budget.epochs and ceil(budget.epochs * grown),
            )
            action(row, f"{MORE} more trials", "add", "more trials", lambda: resume(more))
        deletion(row, sweep)
    for trial in trials:
        if trial.state in ("running", "queued") and (run := trial.run):
            action(
                row, f"Stop trial {trial.number}", "close", f"stop {run.id}", partial(stop_run, run), type="tertiary"
            )
            with row:
                link("train", f"See trial {trial.number}", run.id, icon="arrow_forward")
    if manager().queue.paused and status.state == "running":
        row.caption("The queue is paused. Resume it on the Train page.", width="content")


def _views(sweep: Sweep, status: SweepStatus, trials: list[Trial]) -> None:
    plan = sweep.plan()
    view = st.segmented_control(
        "View", VIEWS, default=VIEWS[0], required=True, key="sweep view", label_visibility="collapsed"
    )
    if not any(trial.accuracy is not None for trial in trials):
        st.caption("Charts appear after the first epoch.")
        return
    finding = None
    if view == "Trials":
        finding = best_so_far(plan, trials)
    elif view == "What matters":
        finding = _what_matters(sweep, status, trials)
    elif view == "One setting":
        labels = {d.key: d.field.label for d in plan.space}
        key = st.segmented_control(
            "Setting",
            list(labels),
            format_func=labels.__getitem__,
            default=plan.space[0].key,
            required=True,
            key="sweep slice",
        )
        finding = slice_of(plan, trials, key)
    elif view == "All settings":
        _parallel(plan, trials)
    else:
        cost = st.segmented_control(
            "Cost",
            list(COSTS),
            format_func=lambda name: COSTS[name].capitalize(),
            default="multiply_adds",
            required=True,
            key="sweep cost",
        )
        finding = accuracy_against_cost(trials, cost)
        if finding is None:
            st.caption("This needs a trial that has ended.")
    if finding is not None:
        show(finding)


def _what_matters(sweep: Sweep, status: SweepStatus, trials: list[Trial]) -> Finding | None:
    """Return how much each setting matters. It takes seconds for many trials, so a task computes it, rarely while more end."""
    plan, ended = sweep.plan(), sum(trial.known for trial in trials)
    if len(plan.space) < 2 or ended < FEWEST:
        st.caption(f"This needs at least {FEWEST} trials that have ended, and two settings that vary.")
        return None
    if ended <= AT_ONCE:
        return what_matters(plan, trials)
    seen = ended // ANEW if status.state in ACTIVE else ended
    key = ("importance", str(sweep.path), status.state in ACTIVE, seen)
    found: Finding | None = in_background(key, "Measure what matters", lambda *_: what_matters(plan, trials))
    return found


def _parallel(plan: Plan, trials: list[Trial]) -> None:
    measured = [trial for trial in trials if trial.accuracy is not None]
    names = [f"Trial {trial.number}" for trial in measured]
    rows = [{d.field.label: trial.values[d.key] for d in plan.space} for trial in measured]
    accuracy = pd.Series([trial.accuracy for trial in measured], index=names, dtype=float)
    show_chart(specification(parallel(pd.DataFrame(rows, index=names), accuracy, value_text)), "sweep parallel")


def _table(plan: Plan, trials: list[Trial]) -> None:
    """Draw the best trials, and say how many more there are."""
    if not trials:
        return
    shown = ranked(trials)[:SHOWN]
    table = pd.DataFrame(
        [
            {"Trial": trial.number, "State": state_mark(trial.state), "Accuracy": trial.accuracy}
            | {d.field.label: value_text(trial.values[d.key]) for d in plan.space}
            | {
                "Epochs": epochs_text(trial.state, trial.epoch, trial.epochs),
                "Time": duration(trial.seconds),
                "Run": _address(trial),
                "Why": trial.error,
            }
            for trial in shown
        ]
    )
    if not table["Why"].any():
        table = table.drop(columns="Why")
    columns = {
        "Accuracy": st.column_config.NumberColumn(
            format="percent", help="The best one on the validation images so far."
        ),
        "Run": st.column_config.LinkColumn(display_text="open"),
    }
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        column_config=columns,
        placeholder="–",
        alt="The trials of the sweep, the best first",
    )
    if len(shown) < len(trials):
        st.caption(
            f"The best {SHOWN} of {len(trials):,} trials. The CSV file of the view “{VIEWS[0]}” has all of them."
        )


def _address(trial: Trial) -> str | None:
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"{base and f'/{base}'}/train?run={trial.run_id}" if trial.run is not None else None
