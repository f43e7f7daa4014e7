"""What if, for the whole test set: measure other routing policies and the loss of each expert, in the background."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from expertnet.findings.effects import ablation, ablation_by_class, policies
from expertnet.findings.finding import lowest
from expertnet.routing.ablations import ablation_name, measure_ablations
from expertnet.routing.effects import Effects, cached_effects, flipped
from expertnet.routing.lab import Lab
from expertnet.routing.policies import measure_policies
from expertnet.ui.background import in_background, threads
from expertnet.ui.experts.controls import gallery, image_caption, pick_number
from expertnet.ui.experts.selection import Selection
from expertnet.ui.finding import show
from expertnet.utils.progress import Report, ShouldStop
from expertnet.utils.text import counted

SHOWN = 16  # images with another answer
UNASKED = 10.0  # seconds that measuring the policies may take without a press on the button
BLOCK, EXPERT, TABLE = "ablated block", "ablated expert", "ablation table"  # widgets, and the table they belong to


def policies_panel(selection: Selection, lab: Lab) -> None:
    """Compare six ways to route the test set."""
    st.markdown("**Does per-image routing help?**")
    effects = policy_effects(selection, lab)
    if effects is not None:
        show(policies(effects))


def policy_effects(selection: Selection, lab: Lab) -> Effects | None:
    """Return the accuracy of six ways to route. If it is not measured yet, show the progress or a button and return None."""
    measure = partial(measure_policies, routed=lab.routed)
    unasked = 0.0 if selection.run.status().training else UNASKED  # whose results are not kept
    return _measured(selection, "policies", "Route the test set in six ways", measure, unasked)


def ablations_panel(selection: Selection, lab: Lab) -> None:
    """Switch off each expert in turn, and show the images that get another class without one of them."""
    st.markdown("**What is lost when an expert is switched off?**")
    renormalize = st.toggle(
        "Rescale the other weights to sum to 1",
        value=True,
        key="renormalize",
        bind="query-params",
        help="If this is off, the other weights stay as they are.",
    )
    measure = partial(measure_ablations, routed=lab.routed, renormalize=renormalize)
    effects = _measured(selection, ablation_name(renormalize), "Switch off each expert in turn", measure)
    if effects is None:
        return
    left, right = st.columns(2, gap="large")
    finding = ablation(effects, lab, renormalize)
    worst, table = lowest(finding.table, "change"), (selection.key, renormalize)
    if st.session_state.get(TABLE, table) != table:  # each table begins with its own worst expert
        for key in (BLOCK, EXPERT):
            st.session_state.pop(key, None)
    st.session_state[TABLE] = table
    with left:
        show(finding, table=True)
    with right:
        block = pick_number("Block", lab.block_numbers, int(worst["block"]), BLOCK)
        show(ablation_by_class(effects, lab, block))
        expert = pick_number("Expert", range(1, lab.num_experts + 1), int(worst["expert"]), EXPERT)
        _flipped_images(selection, lab, effects, block, expert)


def _flipped_images(selection: Selection, lab: Lab, effects: Effects, block: int, expert: int) -> None:
    indices = flipped(effects, block, expert)
    st.markdown(f"Without expert {expert} of block {block}, the answer changes for {counted(len(indices), 'image')}.")
    shown, answers = indices[:SHOWN], effects.changed[block - 1, expert - 1]
    gallery(selection, shown, [f"{image_caption(lab, index)} → {lab.classes[int(answers[index])]}" for index in shown])
    if len(indices) > SHOWN:
        st.caption(f"The first {SHOWN} are shown.")


def _measured(
    selection: Selection, what: str, label: str, measure: Callable[..., Effects], unasked: float = 0.0
) -> Effects | None:
    """Return effects measured before. Otherwise show their progress, or a button that starts measuring, and return None.

    `unasked` is how many seconds measuring may take without a press on the button.
    """
    run, checkpoint, split = selection.run, selection.checkpoint, selection.split
    cached = cached_effects(run, what, checkpoint)
    if cached is not None:
        return cached
    if split is None:
        st.caption("This needs the images of the test set, which are not on this computer.")
        return None

    def work(progress: Report, cancelled: ShouldStop) -> Effects:
        return measure(run, split, checkpoint=checkpoint, progress=progress, cancelled=cancelled, threads=threads())

    return in_background((what, *selection.key), label, work, unasked)
