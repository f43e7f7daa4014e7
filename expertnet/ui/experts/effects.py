"""What if, for all validation or test images: measure other routing policies and the loss of each expert, in the background."""

from dataclasses import replace
from typing import TypeVar

import streamlit as st
import torch

from expertnet.findings.finding import lowest
from expertnet.findings.freezing import freezing
from expertnet.findings.reliance import ablation, ablation_by_class, policies
from expertnet.inference.mistakes import Part
from expertnet.routing.ablations import ABLATIONS
from expertnet.routing.effects import KINDS, Ablations, Routings, load_images, load_part, parts
from expertnet.routing.freezing import FREEZING
from expertnet.routing.measure import Measure
from expertnet.routing.policies import ROUTINGS
from expertnet.ui import tasks
from expertnet.ui.background import in_background, threads
from expertnet.ui.experts.controls import gallery, pick_number, pick_option
from expertnet.ui.experts.selection import Selection
from expertnet.ui.finding import show
from expertnet.utils.progress import Report, ShouldStop
from expertnet.utils.text import counted

SHOWN = 16  # images with another answer
UNASKED = 10.0  # seconds that measuring may take without a press on the button
RELIANCE = "Measure whether the network relies on routing"
BLOCK, EXPERT, TABLE = "ablated block", "ablated expert", "ablation table"  # widgets, and the table they belong to
OPTIONS = {f"{kind[0].upper()}{kind[1:]}": name for name, kind in KINDS.items()}

T = TypeVar("T")


def pick_part(selection: Selection) -> Part:
    """Ask for the images to measure on, or say that there is no choice."""
    offered = {f"{part.capitalize()} images": part for part in parts(selection.run)}
    if len(offered) == 1:
        st.caption("This run held out no validation images, so everything here is measured on the test images.")
        return "test"
    return pick_option("Images", offered, "measured on")


def policies_panel(selection: Selection, part: Part) -> None:
    """Compare the ways to route the images, in all blocks and in one block at a time."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Does the network rely on per-image routing?**")
        effects = policy_effects(selection, part)
        if effects is not None:
            show(policies(effects))
    with right:
        st.markdown("**Which block's routing does the work?**")
        frozen = measured(selection, part, "Freeze the routing of each block", FREEZING, at_once=True)
        if frozen is not None:
            show(freezing(frozen, tuple(selection.blocks)))


def policy_effects(selection: Selection, part: Part) -> Routings | None:
    """Return the answers with other ways to route. If not measured yet, show the progress or a button and return None."""
    return measured(selection, part, RELIANCE, ROUTINGS, at_once=True)


def known_policy_effects(selection: Selection, part: Part) -> Routings | None:
    """Return the answers with other ways to route, or None if they are not measured yet."""
    return _known(selection, part, RELIANCE, ROUTINGS)


def ablations_panel(selection: Selection, part: Part) -> None:
    """Switch off each expert in turn, and show the images that get another class without one of them."""
    st.markdown("**What is lost without an expert?**")
    effects = measured(selection, part, "Switch off each expert in turn", ABLATIONS)
    if effects is None:
        return
    kind = pick_option("The expert is", OPTIONS, "ablation")
    left, right = st.columns(2, gap="large")
    finding = ablation(effects, kind, tuple(selection.blocks))
    worst, table = lowest(finding.table, "change"), (selection.key, part, kind)
    if st.session_state.get(TABLE, table) != table:  # each table begins with its own worst expert
        for key in (BLOCK, EXPERT):
            st.session_state.pop(key, None)
    st.session_state[TABLE] = table
    with left:
        show(finding, table=True)
    with right:
        block = pick_number("Block", selection.blocks, int(worst["block"]), BLOCK)
        show(ablation_by_class(effects, kind, selection.predictor.classes, block))
        expert = pick_number("Expert", range(1, effects.weights.shape[1] + 1), int(worst["expert"]), EXPERT)
        _flipped_images(selection, effects, kind, block, expert)


def _flipped_images(selection: Selection, effects: Ablations, kind: str, block: int, expert: int) -> None:
    indices, classes = effects.flipped(kind, block, expert), selection.predictor.classes
    st.markdown(
        f"With expert {expert} of block {block} {KINDS[kind]}, the answer changes for {counted(len(indices), 'image')}."
    )
    shown, answers = indices[:SHOWN], effects.without(kind, block, expert)
    captions = [
        f"#{index + 1}: {classes[effects.labels[index]]}, {classes[effects.learned[1, index]]} → {classes[answers[index]]}"
        for index in shown
    ]
    split = load_part(selection.run, effects.part) if selection.split is not None else None
    if split is not None and not torch.equal(split.labels, effects.labels):
        split = None  # decoded again in another order
    gallery(replace(selection, split=split), shown, captions, part=effects.part)
    if len(indices) > SHOWN:
        st.caption(f"The first {SHOWN} are shown.")


def measured(selection: Selection, part: Part, label: str, measure: Measure[T], at_once: bool = False) -> T | None:
    """Return a result measured before. Otherwise show its progress, or a button that starts measuring, and return None.

    `at_once` needs no press on the button if measuring takes up to UNASKED seconds and its result is kept, as it is after training.
    """
    run, checkpoint = selection.run, selection.checkpoint
    found = _known(selection, part, label, measure)
    if found is not None:
        return found
    if selection.split is None:
        st.caption("This needs the images that the network was trained on, which are not on this computer.")
        return None

    def work(progress: Report, cancelled: ShouldStop) -> T:
        images = load_images(run, part, progress)
        return measure.measure(run, images, checkpoint, progress, cancelled, threads())

    unasked = UNASKED if at_once and not run.status().training else 0.0
    result: T | None = in_background((label, part, *selection.key), label, work, unasked)
    return result


def _known(selection: Selection, part: Part, label: str, measure: Measure[T]) -> T | None:
    """Return a result from the run's folder or, since a run in training has none there, of a task that has ended."""
    task = tasks.find((label, part, *selection.key))
    ended: T | None = None if task is None or task.running else task.result
    found = measure.cached(selection.run, part, selection.checkpoint)
    return ended if found is None else found
