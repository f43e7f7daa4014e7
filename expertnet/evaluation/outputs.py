"""The outputs of a network for its validation or test images, computed once per checkpoint and cached in the run's folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from expertnet.data.splits import Split
from expertnet.evaluation.temperature import FEWEST, fit_temperature, is_temperature
from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import (
    UNUSABLE,
    cache_path,
    cache_tensors,
    check_classes,
    in_batches,
    read_tensors,
)
from expertnet.routing.effects import load_part
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.utils.files import cached_on_file
from expertnet.utils.progress import Report, ShouldStop, never, silent


@dataclass(frozen=True, eq=False)  # compared by identity, to serve as a cache key
class Outputs:
    """What a network says about the N images of a set, in their order."""

    part: Part
    labels: Tensor  # (N,) int64: true classes
    logits: Tensor  # (N, C) float32
    routing: Tensor  # (N, B, K) float32, stored as float16
    images: str | None  # the fingerprint of the images; None if their order is not certain
    temperature: float | None = None  # fitted on them if they are validation images and some answers are wrong

    @cached_property
    def predictions(self) -> Tensor:
        """Return the predicted classes (N,)."""
        return self.logits.argmax(1)

    @cached_property
    def log_sums(self) -> Tensor:
        """Return the logarithm of the denominator of each image's probabilities (N,)."""
        return self.logits.logsumexp(1)

    @cached_property
    def confidence(self) -> Tensor:
        """Return the probabilities of the answers (N,)."""
        return (self.logits.amax(1) - self.log_sums).exp()

    def probabilities(self, place: int) -> Tensor:
        """Return the probabilities of an image's classes (C,). Those of all images would take as much memory as the logits."""
        return self.logits[place].softmax(0)

    @cached_property
    def disagreement(self) -> Tensor:
        """Return by how much the network prefers another class to the label, from -1 to 1: (N,).

        It is the highest probability of another class minus that of the label, so mistakes are above 0 (the negative of the
        normalized margin of Northcutt 2021, arXiv:1911.00068).
        """
        best_N2, classes_N2 = self.logits.topk(2)
        other_N = torch.where(classes_N2[:, 0] == self.labels, best_N2[:, 1], best_N2[:, 0])
        own_N = self.logits.gather(1, self.labels[:, None])[:, 0]
        return (other_N - self.log_sums).exp() - (own_N - self.log_sums).exp()

    def only(self, places_M: Tensor, labels_M: Tensor) -> "Outputs":
        """Return the outputs for some of the images, with other labels for them."""
        some = Outputs(self.part, labels_M, self.logits[places_M], self.routing[places_M], None)
        some.__dict__["log_sums"] = self.log_sums[places_M]  # which take the longest
        return some

    def places(self, label: int | None = None, answer: int | None = None, wrong: bool = False) -> Tensor:
        """Return the images (from 0) with a label, an answer or both, those with the highest disagreement first.

        With `wrong`, only mistakes.
        """
        chosen = torch.ones(len(self.labels), dtype=torch.bool)
        if label is not None:
            chosen &= self.labels == label
        if answer is not None:
            chosen &= self.predictions == answer
        if wrong:
            chosen &= self.predictions != self.labels
        found = chosen.nonzero()[:, 0]
        return found[self.disagreement[found].argsort(descending=True, stable=True)]


def cached_outputs(run: Run, part: Part, checkpoint: Checkpoint = "best") -> Outputs | None:
    """Return what `measure_outputs` has computed before, or None."""
    try:
        return _read(cache_path(run, f"outputs-{part}", checkpoint), part, load_predictor(run, checkpoint))
    except UNUSABLE:
        return None


def cached_temperature(run: Run, checkpoint: Checkpoint = "best") -> float | None:
    """Return the temperature of a run that has been calibrated, else None."""
    outputs = None if run.settings().watches_test else cached_outputs(run, "validation", checkpoint)
    return outputs.temperature if outputs is not None else None


@cached_on_file(maxsize=8)
def _read(path: Path, part: Part, predictor: Predictor) -> Outputs:
    """Return the outputs in a file. Raises ValueError if they cannot come from this network."""
    tensors, images = read_tensors(path, predictor)
    labels, logits, routing = tensors["labels"], tensors["logits"].float(), tensors["routing"].float()
    model, classes = predictor.settings.model, len(predictor.classes)
    count, shapes = len(labels), [tuple(each.shape) for each in (labels, logits, routing)]
    if not count or shapes != [(count,), (count, classes), (count, model.num_blocks, model.num_experts)]:
        raise ValueError("not the shape of this network's outputs")
    check_classes(labels, classes)
    if not (logits.isfinite().all() and routing.isfinite().all()):
        raise ValueError("not finite")
    return Outputs(part, labels.long(), logits, routing, images, _temperature(tensors, part, logits, labels.long()))


def _temperature(tensors: dict[str, Tensor], part: Part, logits: Tensor, labels: Tensor) -> float | None:
    """Return the temperature in a file of outputs. Raises ValueError if it is none."""
    if part == "test":
        return None
    if "temperature" not in tensors:  # older versions did not keep it
        return fit_temperature(logits, labels)
    found: list[float] = tensors["temperature"].tolist()
    if len(found) > 1 or not all(map(is_temperature, found)):
        raise ValueError("not a temperature")
    return found[0] if found and len(labels) >= FEWEST else None  # older versions fitted it on any number


def measure_outputs(
    run: Run,
    part: Part,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    cancelled: ShouldStop = never,
    threads: int | None = None,
) -> Outputs:
    """Return the outputs for the images of a run, from the cache if they are there, else computed and cached.

    Raises DatasetError if the images are gone, RunError if there is no usable checkpoint, and Cancelled.
    """
    predictor = load_predictor(run, checkpoint, threads)
    split, found = load_part(run, part, progress), cached_outputs(run, part, checkpoint)
    if found is not None and torch.equal(found.labels, split.labels):
        return found
    outputs = outputs_for(predictor, part, split, progress, cancelled)
    tensors = {"labels": outputs.labels.to(torch.int16), "logits": outputs.logits, "routing": outputs.routing.half()}
    if part == "validation":
        fitted = [] if outputs.temperature is None else [outputs.temperature]
        tensors["temperature"] = torch.tensor(fitted, dtype=torch.float64)
    cache_tensors(run, f"outputs-{part}", checkpoint, predictor, tensors)
    return outputs


def outputs_for(
    predictor: Predictor, part: Part, split: Split, progress: Report = silent, cancelled: ShouldStop = never
) -> Outputs:
    """Return what a network says about any images with its classes, and fit the temperature on validation images.

    Raises Cancelled.
    """
    logits, weights = [], []
    with torch.inference_mode():
        for here, share in in_batches(split, cancelled):
            progress(f"Classifying the {part} images", share)
            found_logits, routing = predictor.model(predictor.normalized(split.images[here]), True)
            logits.append(found_logits.float())
            weights.append(routing.half())  # as they are cached
    labels, found, temperature = split.labels.clone(), torch.cat(logits), None
    if part == "validation":
        progress("Fitting the temperature", 1.0)
        temperature = fit_temperature(found, labels)
    return Outputs(part, labels, found, torch.cat(weights).float(), predictor.info.fingerprint, temperature)
