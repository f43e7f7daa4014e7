"""Controls: train the network again without learned routing, and compare the accuracy. The view updates while runs train."""

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.errors import RunError
from expertnet.findings.controls import MARGIN, brief, expected_seconds, retrained, runs_of_controls
from expertnet.findings.finding import Finding
from expertnet.findings.seeds import findings_over_seeds, learned_runs, measure_each
from expertnet.network.controls import CONTROLS, KINDS
from expertnet.routing.lab import Lab
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.controls import MAX_SEEDS, SEEDS, Plan, begun_plan, plan_controls, queue_controls
from expertnet.training.manager import manager
from expertnet.ui.auth import login
from expertnet.ui.background import in_background, threads
from expertnet.ui.experts.controls import pick_number, pick_option
from expertnet.ui.experts.effects import UNASKED
from expertnet.ui.experts.more import folded
from expertnet.ui.experts.selection import Selection
from expertnet.ui.finding import show
from expertnet.ui.shell import action, link, shown_error
from expertnet.ui.style import room_key
from expertnet.ui.views import segments_width
from expertnet.utils.progress import Report, ShouldStop
from expertnet.utils.text import counted, escape, estimate

TICK = 2.0  # seconds between updates while runs train
FIELD = 190  # pixels
SETS = {"Test set": "test", "Validation set": "validation"}


def controls_view(selection: Selection, lab: Lab | None) -> None:
    run, store = selection.run, RunStore()
    st.markdown(
        "Does learned routing improve accuracy? Switching it off only shows what the network relies on. So "
        f"{len(CONTROLS)} controls are trained like this network, and compared with it seed by seed."
    )
    try:
        begun = begun_plan(run, store)
    except RunError as error:  # such as a run that has not finished
        st.info(escape(str(error)), icon=":material/info:")
        return
    row = st.container(horizontal=True, vertical_alignment="bottom", key=room_key("labelled controls"))
    with row:  # not a number input: two of them have buttons of the same name
        seeds = pick_number("Seeds", range(1, MAX_SEEDS + 1), max(SEEDS, len(begun.seeds) if begun else 0), "seeds")
    margin = _pick_margin(row)
    kinds = row.multiselect(
        "Other kinds",
        list(KINDS),
        format_func=KINDS.__getitem__,
        key="kinds",
        bind="query-params",
        placeholder="none",
        help="Other networks of experts, trained and compared as the controls are. Each adds more runs.",
        width=FIELD,
    )
    measured: Any = "test" if run.watches_test else _pick_set(row)

    def results() -> None:
        with shown_error():
            plan = plan_controls(run, store, seeds, kinds)
            if was_active and not plan.active:
                st.rerun()  # without ticks
            _training(plan, store, kinds)
            finding = retrained(plan, margin, measured)
            if finding is not None:
                show(finding, table=brief(finding.table))  # the CSV has the rest
            if plan.begun:
                show(runs_of_controls(plan))

    plan = plan_controls(run, store, seeds, kinds)
    was_active = bool(plan.active)
    login.fragment(results, run_every=TICK if was_active else None)()
    learned = learned_runs(plan)
    if len(learned) > 1:
        folded("Do other seeds route similarly?", lambda: _seeds_panel(selection, learned))


def _seeds_panel(selection: Selection, learned: dict[int, Run]) -> None:
    """Show what the routing of all seeds has in common, measured in the background."""
    found = findings_over_seeds(learned)
    if found is None and selection.split is None:
        st.caption("This needs the images that the network was trained on, which are not on this computer.")
    elif found is None:

        def work(progress: Report, cancelled: ShouldStop) -> list[Finding] | None:
            return measure_each(learned, progress, cancelled, threads())

        key = ("seeds", *selection.key, *(run.id for run in learned.values()))
        found = in_background(key, "Compare the seeds", work, UNASKED)
    titles = "How much the weights depend on the image", "What mean weights for all images change"
    for column, title, finding in zip(st.columns(2, gap="large"), titles, found or (), strict=False):
        with column:
            st.markdown(f"**{title}**")
            show(finding)


def _pick_margin(row: DeltaGenerator) -> float:
    help = "Two networks count as equivalent if their difference certainly lies within this margin."
    value = row.number_input(
        "Equivalence margin (points)",
        0.1,
        50.0,
        MARGIN * 100,
        step=0.1,
        format="%.1f",
        key="margin",
        bind="query-params",
        help=help,
        width=FIELD,
    )
    return float(value) / 100


def _pick_set(row: DeltaGenerator) -> str:
    help = "The validation images chose the epoch of every network. No choice was made on the test set."
    with row:
        return pick_option("Measured on", SETS, "measured", help=help, width=segments_width(SETS))


def _training(plan: Plan, store: RunStore, kinds: list[str]) -> None:
    """Draw the button that trains what is missing, with what it costs, and what waits or trains."""
    row, run, seeds = st.container(horizontal=True, vertical_alignment="center"), plan.run, len(plan.seeds)
    if plan.itself:
        st.caption(f"Left out {', '.join(KINDS[kind] for kind in plan.itself)}: this network is one itself.")
    if plan.open:

        def train() -> None:
            queue_controls(run, store, seeds, kinds)
            manager().wake()

        label = "Train the missing controls" if plan.begun else "Train the controls"
        action(row, label, "play_arrow", "train controls", train, type="secondary" if plan.begun else "primary")
        seconds = expected_seconds(plan)
        about = f", about {estimate(seconds)} at the speed of this run" if seconds else ""
        all_of = ": each control with each seed, and this network with the other seeds"
        which = all_of if len(plan.open) == len(plan.distinct) - 1 and seeds > 1 else ""
        shared = ". Controls that are the same network share a run" if len(plan.distinct) < len(plan.trials) else ""
        row.caption(f"{counted(len(plan.open), 'run')}{which}{about}{shared}.", width="content")
    if plan.active:
        waiting = [trial.row.run for trial in plan.active if trial.row and trial.state == "queued"]
        done = sum(trial.finished for trial in plan.distinct)
        row.markdown(
            f":material/model_training: {done} of {len(plan.distinct)} runs finished, {len(waiting)} in the queue.",
            width="content",
        )
        if waiting:

            def remove() -> None:
                for control in waiting:
                    manager().stop(control, discard=not control.metrics())

            help = "Runs without a completed epoch move to the trash. A run in training continues."
            action(
                row,
                "Remove the controls from the queue",
                "close",
                "remove controls",
                remove,
                help=help,
                type="tertiary",
            )
        with row:
            link("train", "See training", icon="arrow_forward")
