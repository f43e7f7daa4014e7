"""Tell which images are unlike those that a network was trained on.

An image's score has two summands, each in standard deviations over images that the network was not trained on: how far its features
are from those of the nearest class, and how low the highest probability is (Hendrycks 2017, arXiv:1610.02136). The distance is that of
Mahalanobis with one covariance for all classes (Lee 2018, arXiv:1807.03888), in all blocks at once. The covariance is that of
probabilistic PCA: its RANK largest directions, and one variance for all others. benchmarks/unlike.py compares it with other scores.

Shapes: N images, C classes, F features, R directions, M held-out images.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from expertnet.data.parts import load_training_sample, load_validation_split
from expertnet.data.splits import Split
from expertnet.errors import RunError, UserError
from expertnet.inference.predictor import Classification, Predictor, load_predictor
from expertnet.inference.routing_cache import (
    UNUSABLE,
    cache_path,
    cache_tensors,
    has_own_test_set,
    in_batches,
    load_own_test_set,
    read_tensors,
)
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.utils.files import cached_on_file
from expertnet.utils.progress import Report, ShouldStop, never, silent
from expertnet.utils.text import percent

RANK = 64
TRAINING, HELD_OUT = 5000, 2500  # images at most
FEW = 100  # held-out images, below which the test images join the validation images
FEWEST = 10
KEPT = 0.95  # of the held-out images pass


@dataclass(frozen=True)
class Verdict:
    """How unusual an image is."""

    unlike: bool
    as_unusual: float  # share of the held-out images that are at least as unusual
    held_out: int  # their number
    score: float  # higher for more unusual images
    limit: float  # images with a higher score are unlike

    @property
    def sentence(self) -> str:
        """Say it in words. That an image passes is no evidence that it is like the training images."""
        than = f"more typical than {percent(self.as_unusual)} of the" if self.as_unusual else "less typical than all"
        found = "This image looks unlike the training images" if self.unlike else "Nothing marks this image as unusual"
        return f"{found}: it is {than} {self.held_out:,} images held out of training."


@dataclass(frozen=True, eq=False)
class Novelty:
    """What the features of a run's images are like, as tensors by name, as in the file."""

    mean: Tensor  # (F,): of the training images
    scale: Tensor  # (F,): their standard deviations
    classes: Tensor  # (C, F): means of the classes, in these units
    directions: Tensor  # (R, F): orthonormal
    variances: Tensor  # (R,)
    rest: Tensor  # (): variance in every other direction
    usual: Tensor  # (2, 2): mean and standard deviation over the held-out images of each summand
    held_out: Tensor  # (M,): their scores, ascending

    def distances(self, features_NF: Tensor) -> Tensor:
        """Return the squared Mahalanobis distance to the nearest class: (N,)."""
        return torch.from_numpy(_scale(self).distances(features_NF.numpy())).float()

    def scores(self, features_NF: Tensor, probabilities_NC: Tensor) -> Tensor:
        """Return how unusual images are: (N,)."""
        return torch.from_numpy(_scale(self).scores(features_NF.numpy(), probabilities_NC.numpy())).float()

    def verdicts(self, answers: Sequence[Classification]) -> list[Verdict]:
        """Return how unusual classified images are."""
        if not answers:
            return []
        features_NF = torch.stack([answer.features for answer in answers])
        return self.judge(features_NF.numpy(), torch.stack([answer.probabilities for answer in answers]).numpy())

    def judge(self, features_NF: np.ndarray, probabilities_NC: np.ndarray) -> list[Verdict]:
        """Return how unusual images are, from arrays, since PyTorch would take longer than a small network."""
        scale, scores_N = _scale(self), _scale(self).scores(features_NF, probabilities_NC)
        count = len(scale.held_out)
        beyond_N = count - np.searchsorted(scale.held_out, scores_N)
        verdicts = zip(scores_N.tolist(), (beyond_N / count).tolist(), strict=True)
        return [Verdict(score > scale.limit, share, count, score, scale.limit) for score, share in verdicts]


class _Scale:
    """A novelty as float64 arrays, with what does not depend on the images worked out.

    With the inverse covariance P, the distance of x from a class c is x'Px - 2x'Pc + c'Pc. The directions make P known: 1 / rest
    everywhere, less `surplus` along each of them.
    """

    def __init__(self, novelty: Novelty) -> None:
        arrays = {field.name: getattr(novelty, field.name).double().numpy() for field in fields(Novelty)}
        self.mean, self.scale, self.rest, self.usual = (arrays[name] for name in ("mean", "scale", "rest", "usual"))
        self.directions_FR, self.surplus_R = arrays["directions"].T, 1 / self.rest - 1 / arrays["variances"]
        self.held_out, classes_CF = arrays["held_out"], arrays["classes"]
        self.limit = float(np.quantile(self.held_out, KEPT)) if len(self.held_out) else np.inf
        along_CR = classes_CF @ self.directions_FR
        self.weighed_FC = 2 * (classes_CF / self.rest - along_CR * self.surplus_R @ self.directions_FR.T).T
        self.classes_C = self._lengths(classes_CF)

    def _lengths(self, x_NF: np.ndarray) -> np.ndarray:
        """Return x'Px: (N,)."""
        return np.square(x_NF).sum(1) / self.rest - np.square(x_NF @ self.directions_FR) @ self.surplus_R

    def distances(self, features_NF: np.ndarray) -> np.ndarray:
        x_NF = (features_NF - self.mean) / self.scale
        return self._lengths(x_NF) + (self.classes_C - x_NF @ self.weighed_FC).min(1)

    def scores(self, features_NF: np.ndarray, probabilities_NC: np.ndarray) -> np.ndarray:
        summands_N2 = _summands(self.distances(features_NF), probabilities_NC)
        return ((summands_N2 - self.usual[0]) / self.usual[1]).sum(1)


_scale = lru_cache(maxsize=16)(_Scale)


def _summands(distances_N: np.ndarray, probabilities_NC: np.ndarray) -> np.ndarray:
    return np.stack((np.log(distances_N.clip(1e-12)), -probabilities_NC.max(1)), 1)


def fit(features_NF: Tensor, labels_N: Tensor, held_out: tuple[Tensor, Tensor]) -> Novelty:
    """Learn from the features of training images with their labels, and the features and probabilities of held-out images."""
    from sklearn.decomposition import PCA  # takes a second to import

    mean_F, scale_F = features_NF.mean(0), features_NF.std(0).clamp_min(1e-6)
    x_NF, there = (features_NF - mean_F) / scale_F, labels_N.unique()
    classes_CF = torch.stack([x_NF[labels_N == label].mean(0) for label in there])
    spread_NF = x_NF - classes_CF[torch.searchsorted(there, labels_N)]
    rank = max(min(RANK, features_NF.shape[1] - 1, len(spread_NF) // 4), 1)
    pca = PCA(rank, random_state=0).fit(spread_NF.numpy())
    rest = max(float(pca.noise_variance_), 1e-6)
    found = Novelty(
        mean_F,
        scale_F,
        classes_CF,
        torch.from_numpy(pca.components_).float(),
        torch.from_numpy(pca.explained_variance_).float().clamp_min(rest),
        torch.tensor(rest),
        torch.tensor([[0.0, 0.0], [1.0, 1.0]]),
        torch.zeros(0),
    )
    summands_M2 = torch.from_numpy(_summands(_Scale(found).distances(held_out[0].numpy()), held_out[1].numpy())).float()
    usual_22 = torch.stack((summands_M2.mean(0), summands_M2.std(0).clamp_min(1e-6)))
    scores_M = ((summands_M2 - usual_22[0]) / usual_22[1]).sum(1).sort().values
    return Novelty(**(vars(found) | {"usual": usual_22, "held_out": scores_M}))


def measure_novelty(
    run: Run,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    threads: int | None = None,
    cancelled: ShouldStop = never,
) -> Novelty:
    """Learn what the images of a run are like to its network, and keep it in the run's folder.

    The held-out images are the validation images, and the test images if there are no others or too few. Raises DatasetError if the
    images are gone, RunError if there is no usable checkpoint or too few images are held out, and Cancelled.
    """
    predictor, settings, info = load_predictor(run, checkpoint, threads), run.settings(), run.dataset_info()
    parts = [load_training_sample(settings.data, settings.seed, TRAINING, progress, info)]
    if not settings.watches_test:
        parts.append(load_validation_split(settings.data, settings.seed, progress, info))
    if settings.watches_test or len(parts[1]) < FEW:
        parts.append(load_own_test_set(run, progress))
    seen = [_look(predictor, part, progress, cancelled) for part in (parts[0], *map(_sample, parts[1:]))]
    if not all(output.isfinite().all() for part in seen for output in part):
        raise RunError(
            "The network's outputs are not finite numbers, so nothing can be learned about what is unlike its images."
        )
    features_MF, probabilities_MC = (torch.cat(each) for each in zip(*seen[1:], strict=True))
    if len(features_MF) < FEWEST:
        raise RunError("Too few images were held out of the training to say which images are unlike them.")
    novelty = fit(seen[0][0], parts[0].labels, (features_MF, probabilities_MC))
    tensors = {name: tensor.contiguous() for name, tensor in vars(novelty).items()}
    cache_tensors(run, "novelty", checkpoint, predictor, tensors)
    return novelty


def _sample(split: Split) -> Split:
    """Return at most HELD_OUT images, at equal distances, since folders are sorted by class."""
    step = -(-len(split) // HELD_OUT)
    return Split(split.images[::step], split.labels[::step])


def _look(predictor: Predictor, split: Split, progress: Report, cancelled: ShouldStop) -> tuple[Tensor, Tensor]:
    """Return the features and the probabilities of images."""
    batches = []
    for here, share in in_batches(split, cancelled):
        progress("Learning what the training images look like", share)
        probabilities_NC, _, features_NF = predictor.look(split.images[here])
        batches.append((features_NF, probabilities_NC))
    features, probabilities = zip(*batches, strict=True)
    return torch.cat(features), torch.cat(probabilities)


def cached_novelty(run: Run, checkpoint: Checkpoint = "best") -> Novelty | None:
    """Return what `measure_novelty` has kept, or None."""
    try:
        return _read(cache_path(run, "novelty", checkpoint), load_predictor(run, checkpoint))
    except UNUSABLE:
        return None


@cached_on_file(maxsize=16)
def _read(path: Path, predictor: Predictor) -> Novelty:
    """Return what a file holds. Raises ValueError if it cannot be of this network."""
    tensors, _ = read_tensors(path, predictor)
    found = Novelty(**{field.name: tensors[field.name] for field in fields(Novelty)})
    width = 2 * sum(predictor.settings.model.block_widths)
    rank, classes, count = len(found.variances), len(found.classes), len(found.held_out)
    expected = [(width,), (width,), (classes, width), (rank, width), (rank,), (), (2, 2), (count,)]
    if [tuple(tensor.shape) for tensor in vars(found).values()] != expected or not count * classes * rank:
        raise ValueError("not of this network's features")
    for tensor in vars(found).values():
        if tensor.dtype not in (torch.float32, torch.float64) or not tensor.isfinite().all():
            raise ValueError("not finite numbers of 32 or 64 bits")
    return found


def find_novelty(run: Run, checkpoint: Checkpoint = "best", progress: Report = silent) -> Novelty | None:
    """Return what has been kept, else measure it; None if the run is in training, or its images are not on this computer."""
    found = cached_novelty(run, checkpoint)
    if found is None and measurable(run):
        with suppress(UserError, OSError):
            return measure_novelty(run, checkpoint, progress)
    return found


def measurable(run: Run) -> bool:
    """Return whether a run's images are on this computer, and its weights are final."""
    return not run.status().active and has_own_test_set(run)
