"""Two networks on the same images: paired differences, and the images on which they disagree."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from math import log

import pandas as pd
import torch
from torch import Tensor

from expertnet.data.info import is_own, order_of
from expertnet.data.splits import Split
from expertnet.evaluation.figures import f1_parts, macro_f1
from expertnet.evaluation.outputs import Outputs
from expertnet.inference.mistakes import Part
from expertnet.routing.paired import Z95, paired_interval, together
from expertnet.store.run import Run
from expertnet.utils.text import counted

GROUPS = (
    "only the first is right",
    "only the second is right",
    "both are wrong",
)  # of images with two different answers


def same_images(run: Run, other: Run, part: Part) -> bool:
    """Return whether two runs have the same images in a part, in the same order.

    Which ones validation holds out depends on the seed and the share, unless the dataset says it.
    """
    own, others = run.dataset_info(), other.dataset_info()
    if own is None or others is None or not is_own(own, others):
        return False
    if order_of(own.fingerprint) != order_of(others.fingerprint) and not own.content == others.content != "":
        return False
    kept = [(each.settings().seed, each.settings().data.validation_share) for each in (run, other)]
    return part == "test" or own.held == others.held > 0 or (kept[0] == kept[1] and own.held == others.held)


def in_common(first: Split, second: Split) -> tuple[Tensor, Tensor]:
    """Return the places of the images that two sets share, pixel by pixel: those in the first, and the same ones in the second.

    An image that is several times in a set counts once.
    """
    known = {digest: place for place, digest in reversed(list(enumerate(_digests(second))))}
    pairs: dict[int, int] = {}
    for place, digest in enumerate(_digests(first)):
        other = known.pop(digest, None)
        if other is not None:
            pairs[place] = other
    return torch.tensor([*pairs], dtype=torch.int64), torch.tensor([*pairs.values()], dtype=torch.int64)


def _digests(split: Split) -> Iterator[bytes]:
    return (sha256(image).digest() for image in split.images.contiguous().numpy())


@dataclass(frozen=True, eq=False)
class Pair:
    """What two networks say about the M images that both have, with the labels of the first one's images."""

    first: Outputs
    second: Outputs
    places: Tensor  # (M,): of the images among those of the first network
    among: tuple[int, int]  # how many images each of the networks has

    @property
    def is_all(self) -> bool:
        return self.among == (len(self.places), len(self.places))

    @cached_property
    def spread(self) -> Outputs:
        """The outputs of the second network at the places of the images. Those that it does not have get zeros."""
        if self.is_all:
            return self.second
        outputs, count = self.second, self.among[0]
        labels, logits, routing = (
            each.new_zeros(count, *each.shape[1:]).index_copy(0, self.places, each)
            for each in (outputs.labels, outputs.logits, outputs.routing)
        )
        whole = Outputs(outputs.part, labels, logits, routing, None)
        sums = outputs.log_sums.new_full((count,), log(logits.shape[1]))
        whole.__dict__["log_sums"] = sums.index_copy(0, self.places, outputs.log_sums)  # which take the longest
        return whole


def pair(first: Outputs, second: Outputs, images: tuple[Split, Split] | None = None) -> Pair:
    """Return what two networks say about the same images.

    `images` are those of the first and of the second network if they may differ. Those with the same pixels are compared.
    """
    among = len(first.labels), len(second.labels)
    if images is None:
        return Pair(first, second, torch.arange(among[0]), among)
    mine, theirs = in_common(*images)
    labels = first.labels[mine]
    return Pair(first.only(mine, labels), second.only(theirs, labels), mine, among)


def in_common_text(found: Pair) -> str:
    """Say which images two networks with different ones are compared on."""
    shared, part = counted(len(found.places), "image"), found.first.part
    return (
        f"The two runs do not have the same {part} images. They are compared on {shared} that both have, of {found.among[0]:,} and "
        f"{found.among[1]:,}. The classes are those of the first run."
    )


def difference_table(first: Outputs, second: Outputs) -> pd.DataFrame:
    """Return a row for accuracy and macro F1: figure, first, second, difference (first minus second), low, high.

    The intervals compare each image with itself: Agresti and Min's for the accuracy, and for macro F1 the delta method with one more
    image on which the answers differ, so that few of them do not make it too narrow either.
    """
    labels, classes = first.labels, first.logits.shape[1]
    right, was = (each.predictions == labels for each in (first, second))
    lost, won, count = int((was & ~right).sum()), int((right & ~was).sum()), len(labels)
    accuracy = (right.double().mean().item(), was.double().mean().item())
    f1 = tuple(macro_f1(labels, each.predictions, classes).value for each in (first, second))
    parts = f1_parts(labels, first.predictions, classes) - f1_parts(labels, second.predictions, classes)
    interval, differ = paired_interval(lost, won, count), int((first.predictions != second.predictions).sum())
    half = Z95 * parts.square().mean().mul((differ + 1) / max(differ, 1) / count).sqrt().item()
    # equal parts leave no empty interval
    f1_interval = (f1[0] - f1[1] - half, f1[0] - f1[1] + half) if half else interval
    rows = [("accuracy", *accuracy, (won - lost) / count, *interval), ("macro F1", *f1, f1[0] - f1[1], *f1_interval)]
    return pd.DataFrame(rows, columns=["figure", "first", "second", "difference", "low", "high"])


def class_differences(first: Outputs, second: Outputs, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row per class with images: class, images, first, second (accuracy on them), difference, low, high.

    The intervals hold at 95% for all classes together (Bonferroni).
    """
    present = first.labels.unique().tolist()
    z, rows = together(len(present)), []
    for label in present:
        here = first.labels == label
        right, was = (each.predictions[here] == label for each in (first, second))
        lost, won, count = int((was & ~right).sum()), int((right & ~was).sum()), len(right)
        accuracies = right.double().mean().item(), was.double().mean().item()
        rows.append((classes[label], count, *accuracies, (won - lost) / count, *paired_interval(lost, won, count, z)))
    return pd.DataFrame(rows, columns=["class", "images", "first", "second", "difference", "low", "high"])


def disagreements(first: Outputs, second: Outputs) -> dict[str, Tensor]:
    """Return the images (from 0) with two different answers by GROUPS, the most confident first."""
    right, other = first.predictions == first.labels, second.predictions == first.labels
    differ = first.predictions != second.predictions
    sure = torch.minimum(first.confidence, second.confidence)
    found = {}
    for name, chosen in zip(GROUPS, (right, other, ~right & ~other), strict=True):
        places = (differ & chosen).nonzero()[:, 0]
        found[name] = places[sure[places].argsort(descending=True, stable=True)]
    return found
