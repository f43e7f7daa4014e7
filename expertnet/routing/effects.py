"""The answers of a network with changed routing, for its validation or its test images: what is measured."""

from dataclasses import dataclass

from torch import Tensor

from expertnet.data.datasets import load_test_split
from expertnet.data.parts import load_training_sample, load_validation_split
from expertnet.data.splits import Split
from expertnet.inference.mistakes import Part
from expertnet.settings.schema import DataSettings
from expertnet.store.run import Run
from expertnet.utils.progress import Report, silent

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
