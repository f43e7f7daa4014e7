"""All runs, their curves side by side, and the settings in which they differ."""

import streamlit as st

from expertnet.jobs import manager
from expertnet.runs import ACTIVE_STATES, RESUMABLE_STATES, Run, RunStore
from expertnet.ui import shell
from expertnet.ui.compare_runs import compare_runs
from expertnet.ui.run_import import export_button, import_panel
from expertnet.ui.run_picker import model_card
from expertnet.ui.run_table import run_table

shell.require()


def actions(run: Run) -> None:
    """What can be done with a single run."""
    if run.damage():
        st.error(shell.escape(run.damage() or ""), icon=":material/error:")
    why_not = run.resume_damage() if run.has_settings and run.state in RESUMABLE_STATES else None
    if why_not:
        st.warning(shell.escape(why_not), icon=":material/block:")
    buttons = st.container(horizontal=True, vertical_alignment="center")
    if run.has_settings:
        with buttons:
            shell.link("train", "Open", run.id)
        if run.has_network():
            with buttons:
                shell.link("experts", "Routing", run.id)
            with buttons:
                shell.link("predict", "Classify", run.id)
        if run.can_resume() and buttons.button("Resume", icon=":material/play_arrow:", key=f"resume {run.id}"):
            shell.act(lambda: manager().resume(run))
    if run.state in ("queued", "running") and buttons.button(
        "Stop", icon=":material/stop_circle:", key=f"stop {run.id}"
    ):
        shell.act(lambda: manager().stop(run))
    model_card(run)
    if run.state not in ACTIVE_STATES and not run.shipped:
        with buttons.popover("Delete", icon=":material/delete:", key=f"ask {run.id}"):
            st.write(f"{shell.escape(run.title)} goes to the trash of this store with its checkpoints.")
            if st.button("Delete this run", type="primary", key=f"delete {run.id}"):
                shell.act(run.move_to_trash)


st.header("Runs")
import_panel()
runs = RunStore().list()
if not runs:
    st.info(
        "There are no runs yet. The first takes under a minute: train on the digits.", icon=":material/model_training:"
    )
    shell.link("train", "Go to Train", icon="arrow_forward")
    st.stop()
st.caption("Tick one run to act on it, several to compare them.")
chosen = run_table(runs)
if len(chosen) == 1:
    actions(chosen[0])
if chosen:
    export_button(*chosen)
compare_runs([run for run in chosen if run.has_settings])
