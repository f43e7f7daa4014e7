"""Which experts a picture is routed to, block by block, and how classes are routed on the whole."""

import math

import streamlit as st

from expertnet import charts, routing
from expertnet.inference import load_predictor
from expertnet.ui import shell
from expertnet.ui.class_routing import class_routing, test_split
from expertnet.ui.picture_picker import pick_picture
from expertnet.ui.run_picker import pick_run

shell.require()
st.header("Experts")
st.caption("Every block weighs its experts anew for each picture. Here is how.")
picked_run = pick_run()
if picked_run is None:
    st.stop()
run, checkpoint = picked_run

with shell.shown_error():
    predictor = load_predictor(run, checkpoint, threads=1)
    experts = predictor.settings.model.num_experts
    if experts == 1:
        st.info(
            "This network has one expert in each block, so there is nothing to route: every weight is 1.",
            icon=":material/info:",
        )
    split = test_split(predictor.settings.data)
    left, right = st.columns([5, 2], gap="large")
    with left:
        st.subheader("One picture")
        picked = pick_picture(predictor, split)
        if picked is not None:
            image, caption = picked
            probabilities, weights = predictor(image[None])
            best = int(probabilities[0].argmax())
            shown, heat, bars = st.columns([2, 4, 4], gap="medium")
            with shown:
                st.image(image.permute(1, 2, 0).numpy(), width="stretch", caption=caption, alt=caption)
                st.markdown(
                    f"Taken for **{shell.escape(predictor.classes[best])}**, {shell.percent(float(probabilities[0, best]))}"
                )
            table = routing.weights_table(weights[0])
            heat.markdown("**Routing weights**")
            heat.altair_chart(charts.routing_heatmap(table), width="stretch", key="heat")
            heat.caption("The weights of a block sum to 1.")
            frame = table.drop_duplicates("block")[["block"]].assign(entropy=routing.entropy(weights[0]).tolist())
            bars.markdown("**Entropy of each block**")
            bars.altair_chart(charts.entropy_bars(frame, experts), width="stretch", key="entropy")
            bars.caption(
                f"0 nats: one expert has all the weight; ln {experts} = {math.log(experts):.2f}: all weigh the same."
            )
    with right:
        st.subheader("Classes")
        class_routing(run, checkpoint, split, predictor.classes)
