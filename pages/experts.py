"""Which experts a picture is routed to, block by block, and how classes are routed on the whole."""

import streamlit as st

from expertnet import charts, routing
from expertnet.datasets import is_ready
from expertnet.inference import load_predictor
from expertnet.ui import shell
from expertnet.ui.class_routing import class_routing
from expertnet.ui.picture_picker import pick_picture, test_pictures
from expertnet.ui.run_picker import pick_run

shell.require()
st.header("Experts")
st.caption("Every block weighs its experts anew for each picture. Here is how.")
run = pick_run()
if run is None:
    st.stop()

with shell.shown_error():
    predictor = load_predictor(run, threads=1)
    experts = predictor.settings.model.num_experts
    split = test_pictures(run) if is_ready(predictor.settings.data) else None
    left, right = st.columns([3, 2], gap="large")
    with left:
        picked = pick_picture(predictor, split)
        if picked is not None:
            image, caption = picked
            probabilities, weights = predictor(image[None])
            best = int(probabilities[0].argmax())
            shown, heat, bars = st.columns([2, 3, 3])
            with shown:
                st.image(image.permute(1, 2, 0).numpy(), width=180, caption=caption)
                st.metric(
                    "Taken for",
                    predictor.classes[best],
                    f"{probabilities[0, best]:.1%}",
                    delta_color="off",
                    delta_arrow="off",
                )
            if experts == 1:
                st.info(
                    "This network has one expert a block, so there is nothing to route: every weight is 1.",
                    icon=":material/info:",
                )
            table = routing.weights_table(weights[0])
            heat.markdown("**Routing weights**")
            heat.altair_chart(charts.routing_heatmap(table), width="stretch", key="heat")
            entropies = routing.entropy(weights[0]).tolist()
            frame = table.drop_duplicates("block")[["block"]].assign(entropy=entropies)
            bars.markdown("**Entropy a block**")
            bars.altair_chart(charts.entropy_bars(frame, experts), width="stretch", key="entropy")
            st.caption(
                "Weights of a block sum to 1. Entropy is 0 when one expert has all the weight, and largest when all weigh the same."
            )
    with right:
        st.markdown("**Mean routing by class**")
        if split is None:
            st.info(
                "The pictures of this run's data set are not on this machine, so only uploaded pictures can be looked at; "
                "training on it once brings them back.",
                icon=":material/download:",
            )
        else:
            table = class_routing(run, split, predictor.classes)
            block = st.select_slider("Block", sorted(table["block"].unique())) if table["block"].nunique() > 1 else 1
            st.altair_chart(charts.class_heatmap(table, int(block)), width="stretch", key="classes")
            st.caption(f"Mean weights of the {len(split):,} test pictures, class by class.")
