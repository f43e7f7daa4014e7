"""What if: other routing weights for one image at once, and for the whole test set in the background."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st
from torch import Tensor

from expertnet.data.splits import Split
from expertnet.findings import ablations, policies
from expertnet.findings import image as image_findings
from expertnet.findings.finding import lowest
from expertnet.routing import interventions
from expertnet.routing.ablations import ablation_name, measure_ablations
from expertnet.routing.effects import Effects, cached_effects, flipped
from expertnet.routing.lab import Lab
from expertnet.routing.policies import measure_policies
from expertnet.ui import tasks
from expertnet.ui.auth import login
from expertnet.ui.experts.common import Chosen, background, gallery, named, pick_block, pick_number, show, threads
from expertnet.ui.experts.image_picker import pick_image
from expertnet.utils.progress import Report, ShouldStop

FLIPPED = 16  # images
WEIGHTS = "weights"  # in the address
ALONE = 1e-4  # what the others may weigh where one expert counts as alone; less is not shown


def what_if_view(chosen: Chosen, lab: Lab | None) -> None:
    st.info(
        "The batch norms of the network keep the statistics of the routing it was trained with. What is seen here therefore also "
        "contains that mismatch, and is not what a network trained without an expert would give.",
        icon=":material/info:",
    )
    st.subheader("One image")
    picked = pick_image(chosen.predictor, chosen.split)
    if picked is not None:
        login.fragment(_one_image)(chosen, *picked)
    st.subheader("The whole test set")
    if lab is not None:
        _policies(chosen, lab)
        _ablations(chosen, lab)


# --- one image -----------------------------------------------------------------------------------------------------


def _one_image(chosen: Chosen, image: Tensor, caption: str) -> None:
    """Sliders for the weights of a block, and the probabilities before and after."""
    changed = _changed(chosen, caption)
    before, own = chosen.predictor(image[None])
    now = {block: interventions.given(weights) for block, weights in changed.items()}
    after, routed = chosen.predictor(image[None], now)
    left, middle, right = st.columns([2, 4, 4], gap="large")
    left.image(image.permute(1, 2, 0).numpy(), width="stretch", caption=caption, alt=caption)
    with middle:
        block = pick_block(chosen.blocks)
        _sliders(changed, block, changed.get(block) or routed[0, block - 1].tolist())
    with right:
        show(image_findings.probabilities(before[0], after[0], chosen.predictor.classes))
        if changed:
            names = ", ".join(map(str, sorted(changed)))
            st.caption(f"Changed: block {names}. Blocks after a changed one see something else, and route anew.")
            show(image_findings.difference(routed[0] - own[0], "rerouted", "those that the network gives"))


def _changed(chosen: Chosen, caption: str) -> dict[int, list[float]]:
    """The weights that were set for this image, by block; those of the first one in a session may stand in its address."""
    key, first = f"changed {chosen.run.id} {caption}", "weights were read" not in st.session_state
    st.session_state["weights were read"] = True
    if key not in st.session_state:
        asked = st.query_params.get(WEIGHTS, "") if first else ""
        st.session_state[key] = interventions.from_text(
            asked, len(chosen.blocks), chosen.predictor.settings.model.num_experts
        )
    changed: dict[int, list[float]] = st.session_state[key]
    if changed:
        st.query_params[WEIGHTS] = interventions.to_text(changed)
    else:
        st.query_params.pop(WEIGHTS, None)
    return changed


def _sliders(changed: dict[int, list[float]], block: int, weights: list[float]) -> None:
    """One slider an expert; the weights of a block are kept to sum 1."""
    experts = len(weights)

    def key(expert: int) -> str:
        return f"weight {block} {expert}"

    def moved(expert: int) -> None:
        changed[block] = interventions.with_weight(weights, expert, st.session_state[key(expert)])

    def put(change: Callable[[Tensor], Tensor]) -> None:
        changed[block] = interventions.applied(change, weights)

    for expert, weight in enumerate(weights):
        st.session_state[key(expert)] = round(weight, 4)
        st.slider(f"Expert {expert + 1}", 0.0, 1.0, step=0.01, key=key(expert), on_change=moved, args=(expert,))
        buttons = st.container(horizontal=True, gap="small")
        alone = weight > 1 - ALONE
        for word, change in (("Silence", interventions.ablated(expert)), ("Alone", interventions.forced(expert))):
            help = "The others are silent already, and one has to weigh." if alone else None
            buttons.button(word, key=f"{word} {expert}", on_click=put, args=(change,), disabled=alone, help=help)
    line = st.container(horizontal=True, vertical_alignment="bottom")
    if experts > 1:
        pairs = [(a, b) for a in range(experts) for b in range(a + 1, experts)]
        pair = line.selectbox(
            "Swap", pairs, format_func=lambda two: f"{two[0] + 1} and {two[1] + 1}", key="pair", width=140
        )
        line.button("Swap", icon=":material/swap_horiz:", on_click=put, args=(interventions.swapped(*pair),))
    line.button(
        "As the network routes",
        icon=":material/restart_alt:",
        on_click=changed.clear,
        disabled=not changed,
        key="learned",
    )


# --- the test set ----------------------------------------------------------------------------------------------------


def _measured(
    chosen: Chosen, what: str, label: str, measure: Callable[[Split, Report, ShouldStop], Effects]
) -> Effects | None:
    """Effects that were measured before, or that are being measured; else a button that begins."""
    kept = cached_effects(chosen.run, what, chosen.checkpoint)
    if kept is not None:
        return kept
    split = chosen.split
    if split is None:
        st.caption("This needs the images of the test set, which are not on this machine.")
        return None
    key = (what, *chosen.key)
    work = partial(measure, split)
    if tasks.find(key) is None:
        if not st.button(label, icon=":material/science:", key=what, **login.reserved()):
            return None
        with login.changing():
            tasks.start(key, work)
    return background(key, label, work)


def _policies(chosen: Chosen, lab: Lab) -> None:
    st.markdown("**Does routing by image earn anything?**")
    count = threads()
    effects = _measured(
        chosen,
        "policies",
        "Measure six ways to route the test set",
        lambda split, progress, cancelled: measure_policies(
            chosen.run, split, lab.routed, chosen.checkpoint, progress, cancelled, count
        ),
    )
    if effects is not None:
        show(policies.policies(effects))


def _ablations(chosen: Chosen, lab: Lab) -> None:
    st.markdown("**What is lost when an expert is silenced?**")
    renormalise = st.toggle(
        "The others grow to sum to 1", value=True, key="renormalise", bind="query-params", help="Or stay as they are."
    )
    count = threads()
    effects = _measured(
        chosen,
        ablation_name(renormalise),
        "Silence each expert in turn",
        lambda split, progress, cancelled: measure_ablations(
            chosen.run, split, lab.routed, renormalise, chosen.checkpoint, progress, cancelled, count
        ),
    )
    if effects is None:
        return
    left, right = st.columns(2, gap="large")
    every = ablations.ablation(effects, lab, renormalise)
    worst, of = lowest(every.table, "change"), (chosen.key, renormalise)
    if st.session_state.get("silenced of", of) != of:  # begins with the worst of every table anew
        for key in ("silenced", "silent"):
            st.session_state.pop(key, None)
    st.session_state["silenced of"] = of
    with left:
        show(every, table=True)
    with right:
        block = pick_number("Silenced in block", lab.num_blocks, int(worst["block"]), "silenced")
        show(ablations.ablation_by_class(effects, lab, block))
        expert = pick_number("Expert", lab.num_experts, int(worst["expert"]), "silent")
        numbers = flipped(effects, block, expert)
        st.markdown(f"{len(numbers):,} images get another class without expert {expert} of block {block}.")
        shown = numbers[:FLIPPED]
        classes = chosen.predictor.classes
        taken = effects.changed[block - 1, expert - 1]
        gallery(chosen, shown, [f"{named(chosen, lab, number)} → {classes[int(taken[number])]}" for number in shown])
        if len(numbers) > FLIPPED:
            st.caption(f"The first {FLIPPED} of them.")
