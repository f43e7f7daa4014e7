"""How right and how certain a network is under other routing policies, on clean and on damaged images.

Batch norms are estimated again under each policy, on clean training images. They keep these statistics on damaged images.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from scipy.stats import t
from torch import Tensor

from expertnet.data.splits import Split
from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import in_batches
from expertnet.network.model import UNCHANGED, Changes
from expertnet.routing.corruptions import CORRUPTIONS, corrupted
from expertnet.routing.effects import POLICIES, Images
from expertnet.routing.interventions import given, uniform
from expertnet.routing.measure import Measure, Sizes
from expertnet.routing.paired import max_t, paired_change, together, wilson
from expertnet.routing.passes import calibration_images, estimated, mean_weights
from expertnet.utils.progress import Report, ShouldStop, never, silent

TRIED = ("learned", "mean", "uniform")  # policies
CLEAN = "no damage"
CONDITIONS = (CLEAN, *CORRUPTIONS)
IMAGES = 1000  # at most
BINS = 15  # of the calibration error (Guo 2017, arXiv:1706.04599)


@dataclass(frozen=True, eq=False)  # compared by identity, to serve as a cache key
class Robustness:
    """Answers for N images under P policies and D conditions, with re-estimated batch norms."""

    part: Part
    labels: Tensor  # (N,): true classes
    answers: Tensor  # (P, D, N)
    confidence: Tensor  # (P, D, N): probability of the answer
    loss: Tensor  # (P, D, N): minus the logarithm of the true class's probability, in nats


def measure_robustness(
    predictor: Predictor, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Robustness:
    """Classify at most IMAGES images, chosen at random, under each policy and in each condition."""
    split = sampled(images.evaluated)
    with torch.no_grad():
        calibration, _ = calibration_images(predictor, images.training)
        mean_BK = mean_weights(estimated(predictor, calibration), predictor, images.training, cancelled)
        networks = [(estimated(predictor, calibration, each), each) for each in _changes(predictor, mean_BK).values()]
        rows = []
        for done, condition in enumerate(CONDITIONS):
            pixels, batches = split.images if condition == CLEAN else corrupted(condition, split.images), []
            for here, share in in_batches(split, cancelled):
                progress("Classifying damaged images", (done + share) / len(CONDITIONS))
                batch, labels = predictor.normalized(pixels[here]), split.labels[here]
                outputs = [network.model(batch, changes=changes) for network, changes in networks]
                batches.append(torch.stack([outcome(logits_NC, labels) for logits_NC in outputs]))
            rows.append(torch.cat(batches, 2))
    answers, confidence, loss = torch.stack(rows, 1).unbind(2)
    return Robustness(images.part, split.labels, answers.long(), confidence, loss)


def sampled(split: Split) -> Split:
    """Return at most IMAGES images, chosen at random, always the same ones."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:IMAGES]
    return split.take(order.sort().values)


def outcome(logits_NC: Tensor, labels_N: Tensor) -> Tensor:
    """Return the answer, its probability, and the loss of each image: (3, N)."""
    log_NC = logits_NC.log_softmax(1)
    best, answers = log_NC.max(1)
    return torch.stack([answers.float(), best.exp(), -log_NC.gather(1, labels_N[:, None])[:, 0]])


def _changes(predictor: Predictor, mean_BK: Tensor) -> Mapping[str, Changes]:
    """Return the changes of each policy of TRIED."""
    blocks = predictor.settings.model.routed_blocks
    return {
        "learned": UNCHANGED,
        "mean": {block: given(mean_BK[block - 1]) for block in blocks},
        "uniform": dict.fromkeys(blocks, uniform),
    }


def _shapes(count: int, predictor: Predictor) -> Sizes:
    sizes: Sizes = dict.fromkeys(("answers", "confidence", "loss"), (len(TRIED), len(CONDITIONS), count))
    return {"labels": (count,)} | sizes


ROBUSTNESS = Measure("robustness", Robustness, measure_robustness, _shapes, ("labels", "answers"))


def calibration_table(found: Robustness) -> pd.DataFrame:
    """Return a row per policy on clean images.

    The columns are policy, routing (in words), accuracy, confidence (the mean), gap (their difference) with low and high, error
    (see `calibration_error`), loss (in nats) and, against the first policy, loss_change with loss_low and loss_high. The 95% interval
    of the gap is the mean confidence minus Wilson's interval of the accuracy: one by Student's t would be empty or too narrow if
    mistakes are rare. That of the loss is by Student's t over the images.
    """
    rows = []
    for place, policy in enumerate(TRIED):
        right_N = (found.answers[place, 0] == found.labels).double()
        confidence_N, loss_N = found.confidence[place, 0].double(), found.loss[place, 0].double()
        accuracy, confidence = right_N.mean().item(), confidence_N.mean().item()
        least, most = wilson(accuracy, len(right_N))
        change, loss_low, loss_high = mean_interval(loss_N - found.loss[0, 0].double())
        rows.append(
            {
                "policy": policy,
                "routing": POLICIES[policy],
                "accuracy": accuracy,
                "confidence": confidence,
                "gap": confidence - accuracy,
                "low": confidence - most,
                "high": confidence - least,
                "error": calibration_error(confidence_N, right_N),
                "loss": loss_N.mean().item(),
                "loss_change": change,
                "loss_low": loss_low,
                "loss_high": loss_high,
            }
        )
    return pd.DataFrame(rows)


def mean_interval(values_N: Tensor) -> tuple[float, float, float]:
    """Return a mean and its 95% interval by Student's t; without end for fewer than two values."""
    mean, count = values_N.mean().item(), len(values_N)
    if count < 2:
        return mean, -float("inf"), float("inf")
    half = float(t.ppf(0.975, count - 1)) * values_N.std().item() / count**0.5
    return mean, mean - half, mean + half


def confidence_bins(confidence_N: Tensor) -> Tensor:
    """Return the bin of each confidence, from 0. There are BINS equally wide ones, each with its upper end."""
    return (confidence_N * BINS).ceil().long().clamp(1, BINS) - 1


def calibration_error(confidence_N: Tensor, right_N: Tensor) -> float:
    """Return the mean distance between confidence and accuracy over the bins of confidence (Guo 2017)."""
    gaps_N = confidence_N.double() - right_N.double()
    sums_B = torch.zeros(BINS, dtype=torch.float64).index_add_(0, confidence_bins(confidence_N), gaps_N)
    return (sums_B.abs().sum() / max(len(right_N), 1)).item()


def corruption_table(found: Robustness, policy: str = "mean") -> pd.DataFrame:
    """Return a row per condition: corruption, learned and accuracy (under the policy), change, low, high, p.

    The change is that of the policy from the learned routing. Intervals and p-values are corrected for the number of conditions.
    """
    own_DN, other_DN = found.answers[0], found.answers[TRIED.index(policy)]
    right_DN, was_DN = other_DN == found.labels, own_DN == found.labels
    p_D, wide = max_t(right_DN.double() - was_DN.double()), together(len(CONDITIONS))
    rows = []
    for place, condition in enumerate(CONDITIONS):
        change = paired_change(found.labels, own_DN[place], other_DN[place], wide)
        own = was_DN[place].double().mean().item()
        rows.append({"corruption": condition, "learned": own} | change | {"p": p_D[place].item()})
    return pd.DataFrame(rows)[["corruption", "learned", "accuracy", "change", "low", "high", "p"]]
