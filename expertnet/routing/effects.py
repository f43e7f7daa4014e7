"""The answers of a network with changed routing, for its validation or its test images: how they are kept."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from expertnet.data.datasets import load_test_split
from expertnet.data.parts import load_training_sample, load_validation_split
from expertnet.data.splits import Split
from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import UNUSABLE, cache_path, cache_tensors, check_classes, read_tensors
from expertnet.settings.schema import DataSettings
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.utils.files import cached_on_file
from expertnet.utils.progress import Report, ShouldStop, never, silent

STATISTICS = ("as shipped", "re-estimated")  # of the batch norms (see passes.py)
POLICIES = {
    "learned": "the network's own routing",
    "uniform": "equal weights, 1/K each",
    "first": "only each image's top expert",
    "mean": "mean weights of the training images",
    "class": "mean weights of the image's true class",
}
SHUFFLED = {"shuffled": "weights of another image", "shuffled within classes": "weights of another image of its class"}
SHUFFLES = 20  # times that the other images are drawn; as shipped, once
KINDS = {"zero": "switched off", "mean": "replaced by its mean"}  # of ablations
AVERAGED = 2000  # training images whose weights are averaged


@dataclass(frozen=True, eq=False)
class Images:
    """The images that changes of the routing are measured on, and training images that they are estimated from."""

    part: Part
    evaluated: Split
    training: Split  # a sample, not augmented


@dataclass(frozen=True, eq=False)  # compared by identity, as Routed, to serve as a cache key
class Routings:
    """The classes predicted for N images under each policy, and the accuracies with the weights of other images."""

    part: Part
    labels: Tensor  # (N,): true classes
    answers: Tensor  # (len(STATISTICS), len(POLICIES), N)
    shuffled: Tensor  # (len(SHUFFLED), SHUFFLES): accuracies with re-estimated batch norms, as fractions
    shuffled_shipped: Tensor  # (len(SHUFFLED),): those of one draw as shipped


@dataclass(frozen=True, eq=False)
class Ablations:
    """The classes predicted for N images without each expert. Blocks without experts count as unchanged."""

    part: Part
    labels: Tensor  # (N,): true classes
    learned: Tensor  # (len(STATISTICS), N): with all experts
    shipped: Tensor  # (B, K, N): switched off, with the batch norms as shipped
    changed: Tensor  # (len(KINDS), B, K, N), or of any network (1, B, K, N): with re-estimated batch norms
    weights: Tensor  # (B, K): mean routing weights of the N images

    def without(self, kind: str, block: int, expert: int) -> Tensor:
        """Return the answers (N,) without an expert (block and expert from 1), with re-estimated batch norms."""
        return self.changed[list(KINDS).index(kind), block - 1, expert - 1]

    def flipped(self, kind: str, block: int, expert: int) -> list[int]:
        """Return the images (from 0) that get another class without an expert."""
        return (self.without(kind, block, expert) != self.learned[1]).nonzero()[:, 0].tolist()


T = TypeVar("T", Routings, Ablations)


def parts(run: Run) -> tuple[Part, ...]:
    """Return the sets that changes can be measured on, the default first. The test set alone if nothing was held out."""
    return ("validation", "test") if run.settings().data.validation_share else ("test",)


def load_part(run: Run, part: Part, progress: Report = silent, data: DataSettings | None = None) -> Split:
    """Return the validation or the test images of a run. `data` says where they are now, by default where they were.

    Raises DatasetError if they are gone.
    """
    settings, own = run.settings(), run.dataset_info()
    if part == "test":
        return load_test_split(data or settings.data, progress, own)[0]
    return load_validation_split(data or settings.data, settings.seed, progress, own)


def load_images(run: Run, part: Part, progress: Report = silent, data: DataSettings | None = None) -> Images:
    """Return the images to measure on, and a sample of the training images. `data` and the error are those of `load_part`."""
    settings = run.settings()
    training = load_training_sample(data or settings.data, settings.seed, AVERAGED, progress, run.dataset_info())
    return Images(part, load_part(run, part, progress, data), training)


def measure(
    compute: Callable[[Predictor, Images, Report, ShouldStop], T],
    run: Run,
    images: Images,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    cancelled: ShouldStop = never,
    threads: int | None = None,
) -> T:
    """Compute effects with a network (`route_all` or `ablate_all`), and cache them in the run's folder.

    Raises Cancelled when `cancelled` returns True.
    """
    predictor = load_predictor(run, checkpoint, threads)
    effects = compute(predictor, images, progress, cancelled)
    few = torch.uint8 if len(predictor.classes) <= 256 else torch.int16
    what = "routings" if isinstance(effects, Routings) else "ablations"
    tensors = {name: value for name, value in vars(effects).items() if name != "part"}
    kept = {name: each if each.is_floating_point() else each.to(few) for name, each in tensors.items()}
    cache_tensors(run, f"{what}-{effects.part}", checkpoint, predictor, kept)
    return effects


def cached_routings(run: Run, part: Part, checkpoint: Checkpoint = "best") -> Routings | None:
    """Return what `measure` has kept of `route_all`, or None."""
    try:
        return _read_routings(cache_path(run, f"routings-{part}", checkpoint), part, load_predictor(run, checkpoint))
    except UNUSABLE:
        return None


def cached_ablations(run: Run, part: Part, checkpoint: Checkpoint = "best") -> Ablations | None:
    """Return what `measure` has kept of `ablate_all`, or None."""
    try:
        return _read_ablations(cache_path(run, f"ablations-{part}", checkpoint), part, load_predictor(run, checkpoint))
    except UNUSABLE:
        return None


def shapes(what: str, count: int, blocks: int, experts: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in a file of "routings" or "ablations" of N images."""
    if what == "routings":
        return {
            "labels": (count,),
            "answers": (len(STATISTICS), len(POLICIES), count),
            "shuffled": (len(SHUFFLED), SHUFFLES),
            "shuffled_shipped": (len(SHUFFLED),),
        }
    return {
        "labels": (count,),
        "learned": (len(STATISTICS), count),
        "shipped": (blocks, experts, count),
        "changed": (len(KINDS), blocks, experts, count),
        "weights": (blocks, experts),
    }


@cached_on_file(maxsize=16)
def _read_routings(path: Path, part: Part, predictor: Predictor) -> Routings:
    tensors = _read(path, "routings", predictor, ("labels", "answers"))
    labels, answers = tensors["labels"].long(), tensors["answers"].long()
    return Routings(part, labels, answers, tensors["shuffled"], tensors["shuffled_shipped"])


@cached_on_file(maxsize=16)
def _read_ablations(path: Path, part: Part, predictor: Predictor) -> Ablations:
    tensors = _read(path, "ablations", predictor, ("labels", "learned", "shipped", "changed"))
    labels, learned, shipped, changed = (tensors[name].long() for name in ("labels", "learned", "shipped", "changed"))
    return Ablations(part, labels, learned, shipped, changed, tensors["weights"])


def _read(path: Path, what: str, predictor: Predictor, classes: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the tensors in a file. Raises ValueError if they cannot be of this network, as in imported files."""
    tensors, _ = read_tensors(path, predictor)
    model = predictor.settings.model
    expected = shapes(what, len(tensors["labels"]), model.num_blocks, model.num_experts)
    if not len(tensors["labels"]) or {name: tuple(each.shape) for name, each in tensors.items()} != expected:
        raise ValueError("not the shape of such effects")
    for name, tensor in tensors.items():
        if name in classes:
            check_classes(tensor, len(predictor.classes))
        elif not ((tensor >= 0) & (tensor <= 1.001)).all():  # a mean of weights may be rounded up
            raise ValueError("not shares")
    return tensors
