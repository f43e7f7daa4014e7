"""What the views of the lab share.

In this module: Chosen (a run, its network, its test set), open_chosen, lab_of, background, show (a finding with its sentences
and downloads), why_no_mistakes, gallery, named, pick_number, pick_block.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import streamlit as st
import torch

from expertnet.charts.base import to_file
from expertnet.data.splits import Split
from expertnet.findings.finding import Finding
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import Routed, kept_routing, route_test_set
from expertnet.routing.lab import Lab, open_lab
from expertnet.store.run import Run
from expertnet.store.weights_files import Checkpoint
from expertnet.training.manager import manager
from expertnet.ui import tasks
from expertnet.ui.auth import login
from expertnet.ui.experts.test_images import test_split
from expertnet.ui.shell import shown_error
from expertnet.utils.devices import available_threads
from expertnet.utils.text import escape, to_csv

FORMATS: dict[Literal["png", "svg"], str] = {"png": "image/png", "svg": "image/svg+xml"}
SHARES = ("first", "accuracy", "change", "low", "high", "share")  # columns that are shares of images
LOOK_EVERY = 0.5  # seconds between two looks at work in the background
AT_ONCE = 0.3  # seconds; what takes no longer is waited for, since a bar that comes and goes takes more


@dataclass(frozen=True)
class Chosen:
    run: Run
    checkpoint: Checkpoint
    predictor: Predictor
    split: Split | None  # the test set, where its images are on this machine

    @property
    def key(self) -> tuple[Hashable, ...]:
        """Tells apart what is computed of one checkpoint and one test set."""
        labels = hash(self.split.labels.numpy().tobytes()) if self.split is not None else None
        return self.run.id, self.checkpoint, self.predictor.epoch, labels

    @property
    def blocks(self) -> list[int]:
        return list(range(1, self.predictor.settings.model.num_blocks + 1))


def open_chosen(run: Run, checkpoint: Checkpoint) -> Chosen:
    """Loads the network, and the test set where it is at hand. Raises as load_predictor and load_test_split do."""
    predictor = load_predictor(run, checkpoint, threads=1)
    return Chosen(run, checkpoint, predictor, test_split(run))


def threads() -> int:
    """One beside a training, which two would slow; else all there are."""
    return 1 if manager().training() else available_threads()


def background(key: Hashable, label: str, work: tasks.Work) -> Any:
    """The result of work that goes on in the background; until it is there, how far it is, and None."""
    task = tasks.find(key)
    if task is None:
        task = tasks.start(key, work)
        task.join(AT_ONCE)
    if not task.running and task.result is not None:
        return task.result
    if not task.running:
        st.error(escape(task.error or "It was stopped."), icon=":material/error:")
        if not st.button("Try again", icon=":material/replay:", key=f"again {key}", **login.reserved()):
            return None
        with login.changing():
            task = tasks.start(key, work)
    running = task

    def look() -> None:
        if not running.running:
            st.rerun()
        st.progress(running.share, text=f"{escape(running.activity or label)} …")
        if st.button("Stop", icon=":material/stop_circle:", key=f"stop {key}", **login.reserved()):
            with shown_error(), login.changing():
                running.stop()

    login.fragment(look, run_every=LOOK_EVERY)()
    return None


def lab_of(chosen: Chosen) -> Lab | None:
    """The routing of the test set, computed once a checkpoint in the background; None while it is not there."""
    routed = kept_routing(chosen.run, chosen.checkpoint)
    if routed is not None and chosen.split is not None and not torch.equal(routed.labels, chosen.split.labels):
        routed = None  # of other images than the present ones
    if routed is None and chosen.split is None:
        st.caption("What is of the whole test set cannot be shown, as its images are not on this machine.")
        return None
    if routed is None:
        split = chosen.split
        assert split is not None
        count = threads()

        def work(progress: Any, cancelled: Any) -> Routed:
            return route_test_set(chosen.run, split, chosen.checkpoint, progress, count, cancelled)

        routed = background(("routing", *chosen.key), "Routing the test images", work)
    return open_lab(routed, chosen.predictor.classes) if routed is not None else None


def show(finding: Finding | None, select: bool = False, table: bool = False, mark: str = "") -> Any:
    """A finding: what is seen, the chart (or the table), how it was computed, and its files.

    With `select`, what is clicked in the chart is returned; `mark` tells two of one name apart.
    """
    if finding is None:
        return None
    name = finding.name + mark
    st.markdown(escape(finding.sentence))
    event = None
    if finding.chart is not None:
        selecting: dict[str, Any] = {"on_select": "rerun"} if select else {}
        event = st.vega_lite_chart(spec=finding.spec, width="stretch", key=name, **selecting)
    if finding.chart is None or table:
        rows = finding.table.round(4).replace("", "–").rename(columns=_words)
        percent = {name: st.column_config.NumberColumn(format="percent") for name in SHARES}
        st.dataframe(rows, hide_index=True, width="stretch", column_config=percent, alt=finding.sentence)
    st.caption(escape(finding.method))
    with st.popover("Save", icon=":material/download:", type="tertiary", key=f"save {name}"):
        _downloads(finding, name)
    return event


def _words(column: str) -> str:
    return column.replace("_", " ")


def _downloads(finding: Finding, name: str) -> None:
    """Each file is made when it is asked for."""
    st.download_button(
        "Table (CSV)",
        lambda: to_csv(finding.table),
        f"{name}.csv",
        "text/csv",
        key=f"csv {name}",
        on_click="ignore",
    )
    if finding.chart is not None:
        for format, mime in FORMATS.items():
            st.download_button(
                f"Chart ({format.upper()})",
                partial(to_file, finding.chart, format),
                f"{name}.{format}",
                mime,
                key=f"{format} {name}",
                on_click="ignore",
            )


def why_no_mistakes(lab: Lab) -> str:
    """Why there is nothing to say about mistakes, where findings.mistakes is None."""
    if lab.accuracy == 1:
        return "This network makes no mistakes on its test set."
    return "Too few classes have images that were classified rightly, so there is nothing to compare mistakes with."


def gallery(chosen: Chosen, images: list[int], captions: list[str], empty: str = "None.") -> None:
    """Test images (numbers from 0), small, side by side; their numbers alone where the images are not at hand."""
    if not images:
        st.caption(empty)
    elif chosen.split is None:
        st.caption(
            "The images are not on this machine; they are the numbers "
            + ", ".join(str(number + 1) for number in images)
            + " of the test set."
        )
    else:
        with st.container(horizontal=True, gap="small"):
            for number, caption in zip(images, captions, strict=True):
                image = chosen.split.images[number].permute(1, 2, 0).numpy()
                st.image(image, width=84, caption=escape(caption), alt=f"Test image {number + 1}")


def named(chosen: Chosen, lab: Lab, number: int) -> str:
    """A test image in words: its number, its class, and what it was taken for if that is another one."""
    own, taken = (int(tensor[number]) for tensor in (lab.routed.labels, lab.routed.predictions))
    classes = chosen.predictor.classes
    return f"{number + 1}: {classes[own]}" + (f", taken for {classes[taken]}" if own != taken else "")


def pick_number(label: str, count: int, first: int, key: str) -> int:
    """A number from 1 to `count`, which stays in the address; `first` to begin with."""
    numbers = range(1, count + 1)
    return int(st.segmented_control(label, numbers, default=first, key=key, bind="query-params", required=True))


def pick_block(blocks: list[int], key: str = "block") -> int:
    """A block, which stays in the address."""
    if len(blocks) == 1:
        return blocks[0]
    return int(st.select_slider("Block", blocks, value=blocks[-1], key=key, bind="query-params"))
