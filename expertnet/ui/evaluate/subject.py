"""What the Evaluate page shows: a checkpoint, and what its network says about the validation or the test images."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from expertnet.data.splits import Split
from expertnet.errors import UserError
from expertnet.evaluation.outputs import Outputs, cached_outputs, measure_outputs
from expertnet.findings.evaluation_report import html_report
from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.routing.effects import load_part, parts
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.ui.background import in_background, threads
from expertnet.ui.own_test_set import own_test_set
from expertnet.ui.views import segments_width
from expertnet.utils.files import cached_on

PART = "images"  # widget and query key
TOP = 5  # classes whose probabilities are drawn


@dataclass(frozen=True)
class Answers:
    """The outputs of a checkpoint of a run, and how they are shown."""

    run: Run
    checkpoint: Checkpoint
    predictor: Predictor
    outputs: Outputs

    @property
    def classes(self) -> tuple[str, ...]:
        return self.predictor.classes

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks that have experts, from 1."""
        return self.predictor.settings.model.routed_blocks

    def answer(self, place: int) -> str:
        """Return the name of the class that an image (from 0) is taken for."""
        return self.classes[int(self.outputs.predictions[place])]

    def probability(self, place: int) -> float:
        """Return the probability of the answer."""
        return self.outputs.confidence[place].item()

    def likeliest(self, place: int) -> pd.DataFrame:
        """Return the most likely classes of an image: columns label, probability."""
        values, labels = self.outputs.probabilities(place).topk(min(TOP, len(self.classes)))
        return pd.DataFrame(
            {"label": [self.classes[label] for label in labels.tolist()], "probability": values.tolist()}
        )


@dataclass(frozen=True)
class Subject(Answers):
    """What a view is about: the outputs of a checkpoint for the images of `part`."""

    part: Part
    split: Split | None  # the images, None if they are not on this computer
    other: Run | None = None  # to compare with

    @property
    def key(self) -> tuple[Hashable, ...]:
        """Identify what is computed from this checkpoint and these images."""
        return self.run.id, self.checkpoint, self.part, self.predictor.epoch, self.predictor.info.fingerprint

    def image(self, place: int) -> str:
        """Return the number of an image (from 0) and its class."""
        return f"{self.part.capitalize()} image {place + 1}: {self.classes[int(self.outputs.labels[place])]}"


def pick_part(row: DeltaGenerator, run: Run) -> Part:
    """Ask for the images to judge the network by, at first the validation images."""
    offered = {f"{part.capitalize()} images": part for part in parts(run)}
    if len(offered) == 1:
        return next(iter(offered.values()))
    label = row.segmented_control(
        "Images",
        list(offered),
        default=next(iter(offered)),
        key=PART,
        bind="query-params",
        required=True,
        label_visibility="collapsed",
        width=segments_width(offered),
    )
    return offered[label]


def open_subject(run: Run, checkpoint: Checkpoint, part: Part) -> Subject | None:
    """Return the outputs of a network, computed in the background once per checkpoint; None until they are there.

    Raises RunError as load_predictor does.
    """
    predictor = load_predictor(run, checkpoint, threads=1)
    split = images_of(run, part)
    outputs = outputs_of(run, checkpoint, part, split)
    return Subject(run, checkpoint, predictor, outputs, part, split) if outputs is not None else None


def images_of(run: Run, part: Part) -> Split | None:
    """Return the images of a run; None, after saying why, if they are not on this computer."""
    return _split(run.path, part) if own_test_set(run) is not None and run.dataset_info() else None


def report_button(row: DeltaGenerator, subject: Subject) -> None:
    """Draw a download of all results in one file, which is made when the user clicks."""
    row.download_button(
        "Report",
        partial(_report, subject),
        f"evaluation-{subject.run.id}-{subject.part}.html",
        "text/html",
        on_click="ignore",  # nothing on the page changes
        icon=":material/download:",
        disabled=subject.split is None,
        help="Saves all results as one HTML file with charts, tables and images. Robustness is in it once you have measured it, and "
        "the comparison once you have chosen a second network.",
    )


def _report(subject: Subject) -> str:
    """Return all results as HTML, without the comparison if Compare shows why there is none."""

    def made(other: Run | None) -> str:
        return html_report(subject.run, subject.part, subject.checkpoint, other, measures=False, threads=1)

    try:
        return made(subject.other)
    except UserError:
        return made(None)


def outputs_of(run: Run, checkpoint: Checkpoint, part: Part, split: Split | None) -> Outputs | None:
    """Return what a network says about its images `split`; None, after showing why, until that is known."""
    predictor, outputs = load_predictor(run, checkpoint, threads=1), cached_outputs(run, part, checkpoint)
    if outputs is not None and (split is None or torch.equal(outputs.labels, split.labels)):
        return outputs
    if split is None:
        st.caption("Results cannot be shown, because the images are not on this computer.")
        return None
    found: Outputs | None = in_background(
        ("outputs", run.id, checkpoint, part, predictor.epoch, predictor.info.fingerprint),
        f"Classify the {part} images",
        lambda progress, cancelled: measure_outputs(run, part, checkpoint, progress, cancelled, threads()),
    )
    return found


def outputs_on(subject: Subject, part: Part) -> Outputs | None:
    """Return what the same network says about the images of a part; None, after showing why, until that is known."""
    if part == subject.part:
        return subject.outputs
    split = images_of(subject.run, part) if subject.split is not None else None
    return outputs_of(subject.run, subject.checkpoint, part, split)


@cached_on(lambda path, part: Run(path).dataset_info(), maxsize=4)  # copying validation images takes a while
def _split(path: Path, part: Part) -> Split:
    return load_part(Run(path), part)
