"""What becomes of the answers to the whole test set when its images are routed otherwise.

In this module: Effects; measure_ablations (each expert of each block silenced in turn), POLICIES and measure_policies (six ways
to route), cached_effects; and their tables ablation_table, class_effects, policy_table, flipped.
The network's batch norms keep the statistics of the routing it was trained with, so every figure here also contains that
mismatch; it is part of the answer to "what if", and no measure of what training without an expert would give.
Shapes: N images, B blocks, K experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pandas as pd
import torch
from torch import Tensor

from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import Routed
from expertnet.network.model import Block
from expertnet.routing.effects import Effects, in_batches, paired_change, save_effects
from expertnet.routing.interventions import ablated
from expertnet.store.run import Run
from expertnet.store.weights_files import Checkpoint
from expertnet.utils.progress import Report, ShouldStop, never, silent

DEAD_BELOW = 0.1  # utilization; an expert is dead where silencing it changes next to nothing too
DEAD_FLIPS = 0.001  # share of images that may change their class when a dead expert is silenced


def measure_ablations(
    run: Run,
    split: Split,
    routed: Routed,
    renormalise: bool,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    cancelled: ShouldStop = never,
    threads: int | None = None,
) -> Effects:
    """The test set with each expert of each block silenced in turn, kept in the run's folder.

    What lies before the changed block is computed once for all experts, and so is what the block's experts put out: K B (B - 1) / 2
    + B blocks instead of K B B, which is 11.5 passes through 8 blocks of 3 experts instead of 24.
    """
    predictor = load_predictor(run, checkpoint, threads)
    batches = []
    for here, share in in_batches(split, cancelled):
        progress("Silencing each expert in turn", share)
        batches.append(ablate_batch(predictor, split.images[here], renormalise))
    effects = Effects(routed.labels, routed.predictions, torch.cat(batches, dim=2))
    return save_effects(effects, ablation_name(renormalise), run, checkpoint, predictor)


def ablation_name(renormalise: bool) -> str:
    return "silenced-renormalised" if renormalise else "silenced"


@torch.inference_mode()
def ablate_batch(predictor: Predictor, images_N3SS: Tensor, renormalise: bool) -> Tensor:
    """The classes named for a batch with each expert silenced: (B, K, N)."""
    model = predictor.model
    backbone, answers = model.backbone, []
    blocks = cast(list[Block], list(backbone.blocks))
    x = model.stem(predictor.normalized(images_N3SS))
    for number, block in enumerate(blocks, start=1):
        outputs, weights_NK = list(block.experts.outputs(x)), block.branch(x)
        changes = [ablated(expert, renormalise)(weights_NK) for expert in range(len(outputs))]
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


def ablation_table(effects: Effects, experts: pd.DataFrame) -> pd.DataFrame:
    """A row a block and expert: `experts` (its weight, utilization, first), and beside it the effect of silencing it.

    Adds accuracy, change, low, high (fractions), flipped (images that get another class) and dead: little used **and** without
    effect, since softmax never gives an expert nothing.
    """
    rows = [paired_change(effects, changed) for changed in effects.changed.flatten(0, 1)]
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
    """A row a class, block and expert: change of the accuracy on the images of that class when the expert is silenced."""
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
