"""After a sweep: train the best trial longer, and the best ones with several seeds."""

import streamlit as st

from expertnet.sweeps.follow_up import BEST, SEEDS, queue_repeats, repeats, repeats_table, train_longer
from expertnet.sweeps.sweep import Sweep
from expertnet.sweeps.trials import value_text
from expertnet.training.manager import manager
from expertnet.ui.shell import action, shown_error, toast
from expertnet.utils.text import counted, escape


def follow_up(sweep: Sweep) -> None:
    """Draw both ways to continue, and what the seeds show so far."""
    epochs = sweep.plan().settings.training.epochs
    with st.expander("Continue with the best", icon=":material/emoji_events:", key="follow up", expanded=False):
        st.caption("The best trial is partly lucky. Other seeds show how much.")
        row = st.container(horizontal=True, vertical_alignment="bottom")
        most = max(10_000, epochs + 1)
        longer = row.number_input("Epochs", epochs + 1, most, min(epochs * 4, most), key="longer epochs", width=150)

        def train() -> None:
            run = train_longer(sweep, int(longer))
            manager().wake()
            toast(f"{escape(run.title)}: {run.state}.")

        action(row, "Train the best longer", "timer", "train longer", train)
        row = st.container(horizontal=True, vertical_alignment="bottom")
        best = row.number_input("Best trials", 1, 30, BEST, key="repeat best", width=150)
        seeds = row.number_input("Seeds", 1, 30, SEEDS, key="repeat seeds", width=150)

        def repeat() -> None:
            queued = queue_repeats(sweep, int(best), int(seeds))
            manager().wake()
            added = f"{counted(len(queued), 'run')} added to the queue."
            toast(added if queued else "These runs are already queued, in training or finished.")

        action(row, "Train with these seeds", "casino", "train seeds", repeat)
        with shown_error():
            found = repeats(sweep, int(best), int(seeds))
            labels = {dimension.key: dimension.field.label for dimension in sweep.plan().space}
            table = repeats_table(found).rename(columns=labels | {"trial": "Trial", "in the sweep": "In the sweep"})
            for label in labels.values():
                table[label] = table[label].map(value_text)
            shares = ("In the sweep", "validation", "validation sd", "test", "test sd")
            percent = {name: st.column_config.NumberColumn(format="percent") for name in shares}
            st.dataframe(table, hide_index=True, column_config=percent, alt="The best trials with several seeds")
            st.caption(
                "Means and standard deviations (sd) over the seeds that have finished. The sweep's own seed chose the trial, so "
                "the validation mean is slightly too high."
            )
