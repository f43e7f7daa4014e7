"""What the views of the Experts page show: a checkpoint, its network, its test set and the routing of that test set."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import streamlit as st

from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import cached_routing, route_test_set
from expertnet.routing.lab import Lab, open_lab
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.ui.background import in_background, threads
from expertnet.ui.own_test_set import own_test_set


@dataclass(frozen=True)
class Selection:
    """A checkpoint of a run with its network."""

    run: Run
    checkpoint: Checkpoint
    predictor: Predictor
    split: Split | None  # the test set, None if its images are not on this computer

    @property
    def key(self) -> tuple[Hashable, ...]:
        """Identify what is computed from this checkpoint and its test set."""
        return self.run.id, self.checkpoint, self.predictor.epoch, self.predictor.info.fingerprint

    @property
    def blocks(self) -> list[int]:
        """The blocks that have experts, from 1."""
        return list(self.predictor.settings.model.routed_blocks)


def open_selection(run: Run, checkpoint: Checkpoint) -> Selection:
    """Load the network, and the test set if it is on this computer. Raises RunError as load_predictor does."""
    predictor = load_predictor(run, checkpoint, threads=1)
    return Selection(run, checkpoint, predictor, own_test_set(run))


def lab_of(selection: Selection) -> Lab | None:
    """Return the routing of the test set, computed in the background once per checkpoint; None until it is there."""
    run, checkpoint, split = selection.run, selection.checkpoint, selection.split
    found = cached_lab(selection)
    if found is not None:
        return found
    if split is None:
        st.caption("Results for the whole test set cannot be shown, because its images are not on this computer.")
        return None
    routed = in_background(
        ("routing", *selection.key),
        "Route the test images",
        lambda progress, cancelled: route_test_set(run, split, checkpoint, progress, threads(), cancelled),
    )
    return None if routed is None else open_lab(routed, selection.predictor.classes)


def cached_lab(selection: Selection) -> Lab | None:
    """Return the routing of the test set if it was computed before."""
    routed = cached_routing(selection.run, selection.checkpoint, selection.split)
    return None if routed is None else open_lab(routed, selection.predictor.classes)


def with_lab(view: Callable[[Selection, Lab], None]) -> Callable[[Selection, Lab | None], None]:
    """Return a view that shows nothing until the routing of the whole test set is known."""

    def shown(selection: Selection, lab: Lab | None) -> None:
        if lab is not None:
            view(selection, lab)

    return shown
