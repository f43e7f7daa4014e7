"""What the views of the Experts page show: a checkpoint, its network, its test set and the routing of that test set."""

from collections.abc import Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import streamlit as st

from expertnet.data.builtin import BUILTIN
from expertnet.data.datasets import dataset_title, is_missing
from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import cached_routing, has_own_test_set, load_own_test_set, route_test_set
from expertnet.routing.lab import Lab, open_lab
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.ui.auth import login
from expertnet.ui.experts.background import in_background, threads
from expertnet.ui.shell import progress_bar, shown_error
from expertnet.utils.text import escape


@dataclass(frozen=True)
class Selection:
    """A checkpoint of a run with its network."""

    run: Run
    checkpoint: Checkpoint
    predictor: Predictor
    split: Split | None  # the test set, None if its images are not on this machine

    @property
    def key(self) -> tuple[Hashable, ...]:
        """Identify what is computed from this checkpoint and its test set."""
        return self.run.id, self.checkpoint, self.predictor.epoch, self.predictor.info.fingerprint

    @property
    def blocks(self) -> list[int]:
        """The blocks that have experts, from 1."""
        return list(self.predictor.settings.model.routed_blocks)


def open_selection(run: Run, checkpoint: Checkpoint) -> Selection:
    """Load the network, and the test set if it is on this machine. Raises RunError as load_predictor does."""
    predictor = load_predictor(run, checkpoint, threads=1)
    return Selection(run, checkpoint, predictor, test_split(run))


def test_split(run: Run) -> Split | None:
    """Return a run's own test set. If it is not on this machine, say so, offer to get it if possible, and return None."""
    data = run.settings().data
    title, spec = escape(dataset_title(data.dataset)), BUILTIN.get(data.dataset)
    permission: AbstractContextManager[None] = nullcontext()  # showing images that are cached needs none
    if not has_own_test_set(run):
        unread = spec is None and not is_missing(data)
        where = "have not been read yet" if unread else "are not on this machine"
        st.info(f"The images of {title} {where}.", icon=":material/folder_off:")
        label = "Read the images" if unread else "Download the images"
        if is_missing(data) or not st.button(label, icon=":material/download:", **login.reserved()):
            return None
        permission = login.changing()
    with shown_error(), permission, progress_bar() as show:
        return load_own_test_set(run, show)
    return None


def lab_of(selection: Selection) -> Lab | None:
    """Return the routing of the test set, computed in the background once per checkpoint; None until it is there."""
    run, checkpoint, split = selection.run, selection.checkpoint, selection.split
    routed = cached_routing(run, checkpoint, split)
    if routed is None and split is not None:
        routed = in_background(
            ("routing", *selection.key),
            "Routing the test images",
            lambda progress, cancelled: route_test_set(run, split, checkpoint, progress, threads(), cancelled),
        )
    elif routed is None:
        st.caption("Results for the whole test set cannot be shown, because its images are not on this machine.")
    return open_lab(routed, selection.predictor.classes) if routed is not None else None
