"""What becomes of the answers to the whole test set when its pictures are routed otherwise.

In this module: Effects; measure_silencing (each expert of each block silenced in turn), POLICIES and measure_policies (six ways
to route), kept_effects; and their tables silencing_table, class_effects, policy_table, flipped.
The network's batch norms keep the statistics of the routing it was trained with, so every figure here also contains that
mismatch; it is part of the answer to "what if", and no measure of what training without an expert would give.
Shapes: N pictures, B blocks, K experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import pandas as pd
import torch
from torch import Tensor

from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import Routed, keep, kept, kept_routing, refuse_other_classes
from expertnet.network.evaluation import EVALUATION_BATCH
from expertnet.network.model import Block, Changes
from expertnet.network.routing_metrics import class_means, usage
from expertnet.specialization import DEAD_BELOW, DEAD_FLIPS
from expertnet.store.run import Run
from expertnet.store.status import Checkpoint
from expertnet.utils.files import version_of
from expertnet.utils.progress import Asked, Report, check, never, silent
from expertnet.whatif import first_alone, given, silenced, uniform

POLICIES = {
    "learned": "as the network routes",
    "uniform": "1/K for every expert",
    "first": "each picture's first expert alone",
    "mean": "the mean weights of the test set",
    "class": "the mean weights of the picture's true class",
    "shuffled": "the weights of another picture, drawn at random",
}


@dataclass(frozen=True, eq=False)  # as Routed
class Effects:
    """The classes that the network named for the test pictures under a number of changes."""

    labels: Tensor  # (N,)
    learned: Tensor  # (N,): with the network's own routing
    changed: Tensor  # (..., N): (B, K, N) with an expert silenced, (6, N) under the POLICIES


def measure_policies(
    run: Run,
    split: Split,
    routed: Routed,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    cancelled: Asked = never,
    threads: int | None = None,
) -> Effects:
    """The test set under each of the POLICIES, kept in the run's folder. `routed` is what the network itself does with it."""
    predictor = load_predictor(run, checkpoint, threads)
    routing, labels = routed.routing, routed.labels
    blocks = range(routing.shape[1])
    other = routing[torch.randperm(len(routing), generator=torch.Generator().manual_seed(0))]
    by_class = class_means(routing, labels, len(predictor.classes))[labels]

    def changes(policy: str, here: slice) -> Changes:
        if policy in ("uniform", "first"):
            return dict.fromkeys((b + 1 for b in blocks), uniform if policy == "uniform" else first_alone)
        source = {"mean": usage(routing).expand_as(routing), "class": by_class, "shuffled": other}[policy]
        return {b + 1: given(source[here, b]) for b in blocks}

    rows = [routed.predictions]
    for policy in list(POLICIES)[1:]:
        done = []
        for here, share in _batches(split, cancelled):
            progress(f"Routing by {POLICIES[policy]}", (len(rows) - 1 + share) / (len(POLICIES) - 1))
            done.append(predictor(split.images[here], changes(policy, here))[0].argmax(1))
        rows.append(torch.cat(done))
    return _keep(Effects(labels, rows[0], torch.stack(rows)), "policies", run, checkpoint, predictor)


def measure_silencing(
    run: Run,
    split: Split,
    routed: Routed,
    renormalise: bool,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    cancelled: Asked = never,
    threads: int | None = None,
) -> Effects:
    """The test set with each expert of each block silenced in turn, kept in the run's folder.

    What lies before the changed block is computed once for all experts, and so is what the block's experts put out: K B (B - 1) / 2
    + B blocks instead of K B B, which is 11.5 passes through 8 blocks of 3 experts instead of 24.
    """
    predictor = load_predictor(run, checkpoint, threads)
    batches = []
    for here, share in _batches(split, cancelled):
        progress("Silencing each expert in turn", share)
        batches.append(_silenced_batch(predictor, split.images[here], renormalise))
    effects = Effects(routed.labels, routed.predictions, torch.cat(batches, dim=2))
    return _keep(effects, silencing(renormalise), run, checkpoint, predictor)


def _batches(split: Split, cancelled: Asked) -> Iterator[tuple[slice, float]]:
    """The test set in batches, each with the share that lies before it. Raises Cancelled where that is asked for."""
    for start in range(0, len(split), EVALUATION_BATCH):
        check(cancelled)
        yield slice(start, start + EVALUATION_BATCH), start / len(split)


def kept_effects(run: Run, what: str, checkpoint: Checkpoint = "best") -> Effects | None:
    """What was measured before: `what` is "policies", or silencing(renormalise)."""
    routed = kept_routing(run, checkpoint)
    try:
        version = version_of(run.path / f"{what}-{checkpoint}.safetensors")
    except OSError:
        return None
    return _effects(run.path, what, checkpoint, version, routed) if routed is not None else None


@lru_cache(maxsize=16)
def _effects(path: Path, what: str, checkpoint: Checkpoint, version: tuple[int, ...], routed: Routed) -> Effects | None:
    run = Run(path)
    tensors = kept(run, what, checkpoint)
    if tensors is None:
        return None
    count, blocks, experts = routed.routing.shape
    changed, info = tensors.get("changed"), run.dataset_info()
    shape = (len(POLICIES), count) if what == "policies" else (blocks, experts, count)
    if changed is None or info is None or tuple(changed.shape) != shape:
        return None
    try:
        refuse_other_classes(changed, len(info.classes))
    except ValueError:
        return None
    return Effects(routed.labels, routed.predictions, changed.long())


def silencing(renormalise: bool) -> str:
    return "silenced-renormalised" if renormalise else "silenced"


def _keep(effects: Effects, what: str, run: Run, checkpoint: Checkpoint, predictor: Predictor) -> Effects:
    few = torch.uint8 if len(predictor.classes) <= 256 else torch.int16
    keep(run, what, checkpoint, predictor.epoch, {"changed": effects.changed.to(few)})
    return effects


@torch.inference_mode()
def _silenced_batch(predictor: Predictor, images_N3SS: Tensor, renormalise: bool) -> Tensor:
    """The classes named for a batch with each expert silenced: (B, K, N)."""
    model = predictor.model
    backbone, answers = model.backbone, []
    blocks = cast(list[Block], list(backbone.blocks))
    x = model.stem(predictor.normalized(images_N3SS))
    for number, block in enumerate(blocks, start=1):
        outputs, weights_NK = list(block.experts.outputs(x)), block.branch(x)
        changes = [silenced(expert, renormalise)(weights_NK) for expert in range(len(outputs))]
        mixed = [
            backbone.pool(number, block.add(x, block.experts.mix(outputs, weights)))
            for weights in (*changes, weights_NK)
        ]
        for y in mixed[:-1]:
            for later in range(number + 1, len(blocks) + 1):
                y = backbone.pool(later, blocks[later - 1](y)[0])
            answers.append(model.classifier(y).argmax(1))
        x = mixed[-1]
    return torch.stack(answers).unflatten(0, (len(blocks), -1))


# --- tables ----------------------------------------------------------------------------------------------------------


def _against(effects: Effects, changed_N: Tensor) -> dict[str, float]:
    """Accuracy under a change, and its difference from the network's own with a 95 % interval.

    The interval is of the paired difference (each picture is its own control), in the normal approximation.
    """
    right, before = (changed_N == effects.labels).double(), (effects.learned == effects.labels).double()
    difference = right - before
    half = 1.96 * float(difference.std(correction=0)) / len(difference) ** 0.5
    change = float(difference.mean())
    return {
        "accuracy": float(right.mean()),
        "change": change,
        "low": change - half,
        "high": change + half,
        "flipped": int((changed_N != effects.learned).sum()),
    }


def silencing_table(effects: Effects, experts: pd.DataFrame) -> pd.DataFrame:
    """A row a block and expert: `experts` (its weight, utilization, first), and beside it the effect of silencing it.

    Adds accuracy, change, low, high (fractions), flipped (pictures that get another class) and dead: little used **and** without
    effect, since softmax never gives an expert nothing.
    """
    rows = [_against(effects, changed) for changed in effects.changed.flatten(0, 1)]
    table = pd.concat([experts.reset_index(drop=True), pd.DataFrame(rows)], axis=1)
    without_effect = table["flipped"] <= DEAD_FLIPS * len(effects.labels)
    table = table.assign(dead=(table["utilization"] < DEAD_BELOW) & without_effect)
    first = [
        "block",
        "expert",
        "weight",
        "change",
        "low",
        "high",
        "flipped",
        "dead",
    ]  # what a narrow column has room for
    return table[[*first, *table.columns.difference(first, sort=False)]]


def class_effects(effects: Effects, classes: Sequence[str]) -> pd.DataFrame:
    """A row a class, block and expert: change of the accuracy on the pictures of that class when the expert is silenced."""
    rows = []
    for label, name in enumerate(classes):
        members = effects.labels == label
        if members.any():
            before = (effects.learned[members] == label).double().mean()
            after = (effects.changed[..., members] == label).double().mean(-1) - before
            rows += [
                (name, block, expert, value)
                for block, row in enumerate(after.tolist(), 1)
                for expert, value in enumerate(row, 1)
            ]
    return pd.DataFrame(rows, columns=["class", "block", "expert", "change"])


def policy_table(effects: Effects) -> pd.DataFrame:
    """A row a policy: policy, routing (in words), and the effect against the learned routing."""
    rows = [_against(effects, changed) for changed in effects.changed]
    return pd.DataFrame({"policy": list(POLICIES), "routing": list(POLICIES.values())}).join(pd.DataFrame(rows))


def flipped(effects: Effects, block: int, expert: int) -> list[int]:
    """The pictures that get another class when an expert (from 1) is silenced."""
    return (effects.changed[block - 1, expert - 1] != effects.learned).nonzero()[:, 0].tolist()
