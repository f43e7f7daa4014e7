"""What if: change the routing weights of one image and see the answer at once."""

from collections.abc import Callable
from hashlib import sha256
from itertools import combinations

import streamlit as st
from torch import Tensor

from expertnet.findings import image as image_findings
from expertnet.routing import interventions
from expertnet.routing.lab import Lab
from expertnet.ui.auth import login
from expertnet.ui.experts.controls import pick_block, pick_image
from expertnet.ui.experts.effects import ablations_panel, pick_part, policies_panel
from expertnet.ui.experts.more import folded, headroom_panel, robustness_panel
from expertnet.ui.experts.selection import Selection
from expertnet.ui.finding import show
from expertnet.utils.text import escape, percent

WEIGHTS = "weights"  # in the URL
MISMATCH = (
    "The network's batch norms keep the statistics of the routing it was trained with. The results here include that mismatch, "
    "so they do not show what a network trained without an expert would do."
)
ALONE = 1e-4  # at most this weight for the other experts, which then show as 0


def what_if_view(selection: Selection, lab: Lab | None) -> None:
    model = selection.predictor.settings.model
    if model.num_experts > 1:  # one expert can be neither routed nor spared
        st.subheader("All images")
        part = pick_part(selection)
        if model.num_blocks == 1 and model.mixing == "outputs":  # a mix of kernels comes before the block's own norm
            st.caption("No batch norm comes after the only block, so none depends on its routing.")
        policies_panel(selection, part)
        ablations_panel(selection, part)
        folded("How much could other routing weights gain?", lambda: headroom_panel(selection, part))
        folded("How certain is the network, and what if images are damaged?", lambda: robustness_panel(selection, part))
    st.subheader("One image")
    st.caption(MISMATCH)
    left, right = st.columns([2, 5], gap="medium")
    with left:
        shown = st.container()
        picked = pick_image(selection)
    if picked is not None:
        image, caption = picked
        shown.image(image.permute(1, 2, 0).numpy(), width=112, alt=caption)
        shown.caption(escape(caption))
        with right:
            login.fragment(_one_image)(selection, image)


def _one_image(selection: Selection, image: Tensor) -> None:
    """Show sliders for the weights of a block, and the probabilities before and after."""
    changed = _changed_weights(selection, image)
    before, learned = selection.predictor(image[None])
    changes = {block: interventions.given(weights) for block, weights in changed.items()}
    after, routed = selection.predictor(image[None], changes)
    block = pick_block(selection.blocks)
    names, rows = selection.predictor.classes, (after[0], before[0])
    now, own = (f"**{escape(names[int(row.argmax())])}** ({percent(float(row.max()))})" for row in rows)
    with st.container(key="answer now"):  # which the style sheet keeps in view on a phone
        st.markdown(f"Answer: {now}" + (f"; before: {own}" if changed else ""))
    _sliders(changed, block, changed.get(block) or routed[0, block - 1].tolist())
    left, right = st.columns(2, gap="medium")
    with left:
        show(image_findings.probabilities(before[0], after[0], selection.predictor.classes))
    if changed:
        with right:
            blocks = ", ".join(map(str, sorted(changed)))
            st.caption(f"Changed blocks: {blocks}. Later blocks receive other inputs, so their weights can change too.")
            rerouted = routed[0] - learned[0]
            show(image_findings.difference(rerouted, "rerouted", "the learned weights", selection.blocks))


def _changed_weights(selection: Selection, image: Tensor) -> dict[int, list[float]]:
    """Return the weights set for this image, by block. The first image of a session takes them from the URL."""
    pixels = sha256(image.numpy().tobytes()).hexdigest()  # another image can have the same file name
    key, first = f"changed {selection.run.id} {pixels}", "weights were read" not in st.session_state
    st.session_state["weights were read"] = True
    if key not in st.session_state:
        asked = st.query_params.get(WEIGHTS, "") if first else ""
        experts = selection.predictor.settings.model.num_experts
        st.session_state[key] = interventions.from_text(asked, selection.blocks, experts)
    changed: dict[int, list[float]] = st.session_state[key]
    if changed:
        st.query_params[WEIGHTS] = interventions.to_text(changed)
    else:
        st.query_params.pop(WEIGHTS, None)
    return changed


def _sliders(changed: dict[int, list[float]], block: int, weights: list[float]) -> None:
    """Show a slider per expert. The weights of a block always sum to 1."""
    experts = len(weights)

    def key(expert: int) -> str:
        return f"weight {block} {expert}"

    def set_weight(expert: int) -> None:
        changed[block] = interventions.with_weight(weights, expert, st.session_state[key(expert)])

    def apply(change: Callable[[Tensor], Tensor]) -> None:
        changed[block] = interventions.applied(change, weights)

    for expert, weight in enumerate(weights):
        st.session_state[key(expert)] = round(weight, 4)
        row = st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=f"row of expert {expert + 1}")
        row.slider(f"Expert {expert + 1}", 0.0, 1.0, step=0.01, key=key(expert), on_change=set_weight, args=(expert,))
        alone = weight > 1 - ALONE
        help = "The other experts are off already, and one must stay on." if alone else None
        place = f"expert {expert + 1} of block {block}"
        changes = {
            f"Switch off {place}": interventions.ablated(expert),
            f"Use {place} alone": interventions.forced(expert),
        }
        for label, change in changes.items():
            row.button(label, key=label, on_click=apply, args=(change,), disabled=alone, help=help)
    line = st.container(horizontal=True, vertical_alignment="bottom")
    if experts > 1:
        pairs = {f"{a + 1} and {b + 1}": (a, b) for a, b in combinations(range(experts), 2)}
        pair = pairs[line.selectbox("Experts", pairs, key="pair", width=140)]
        line.button("Swap", icon=":material/swap_horiz:", on_click=apply, args=(interventions.swapped(*pair),))
    line.button("Reset weights", icon=":material/restart_alt:", on_click=changed.clear, disabled=not changed)
