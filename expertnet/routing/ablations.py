"""Each expert of each block ablated in turn, on the whole test set.

The network's batch norms keep the statistics of the learned routing. The results include that mismatch, so they do not say
what a network trained without an expert would do.
"""

from collections.abc import Sequence
from typing import cast

import pandas as pd
import torch
from torch import Tensor

from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import Routed, in_batches
from expertnet.network.model import Block
from expertnet.routing.effects import Effects, paired_change, save_effects
from expertnet.routing.interventions import ablated
from expertnet.routing.weights import HARDLY_USED
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.utils.progress import Report, ShouldStop, never, silent

DEAD_FLIPS = 0.001  # share of images whose class changes without a hardly used expert, at most which it is dead


def measure_ablations(
    run: Run,
    split: Split,
    routed: Routed,
    renormalize: bool,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    cancelled: ShouldStop = never,
    threads: int | None = None,
) -> Effects:
    """Classify the test set with each expert of each block ablated in turn, and cache the result in the run's folder.

    With `renormalize`, the other experts' weights grow to keep their sum. Raises Cancelled when `cancelled` returns True.
    The blocks before the ablated one and the outputs of its experts are computed once for all experts. That takes
    K B (B - 1) / 2 + B blocks instead of K B B: for 8 blocks of 3 experts, 11.5 passes instead of 24. Blocks without experts
    count as unchanged.
    """
    predictor = load_predictor(run, checkpoint, threads)
    batches = []
    for here, share in in_batches(split, cancelled):
        progress("Switching off each expert in turn", share)
        batches.append(ablate_batch(predictor, split.images[here], renormalize))
    changed = torch.cat(batches, dim=2)
    effects = Effects(routed.labels, routed.predictions, torch.where(changed < 0, routed.predictions, changed))
    return save_effects(effects, ablation_name(renormalize), run, checkpoint, predictor)


def ablation_name(renormalize: bool) -> str:
    """Return the name under which effects are cached."""
    return "silenced-renormalised" if renormalize else "silenced"


@torch.inference_mode()
def ablate_batch(predictor: Predictor, images_N3SS: Tensor, renormalize: bool) -> Tensor:
    """Return the classes predicted for uint8 images with each expert ablated: (B, K, N), -1 in blocks without experts."""
    model = predictor.model
    backbone = model.backbone
    blocks = cast(list[Block], list(backbone.blocks))
    answers = torch.full((len(blocks), backbone.num_experts, len(images_N3SS)), -1)
    x = model.stem(predictor.normalized(images_N3SS))
    for number, block in enumerate(blocks, start=1):
        if block.plain:
            x = backbone.pool(number, block(x)[0])
            continue
        outputs, weights_NK = list(block.experts.outputs(x)), block.branch(x)
        changes = [ablated(expert, renormalize)(weights_NK) for expert in range(len(outputs))]
        mixed = [
            backbone.pool(number, block.add(x, block.experts.mix(outputs, weights)))
            for weights in (*changes, weights_NK)
        ]
        for expert, y in enumerate(mixed[:-1]):
            for later in range(number + 1, len(blocks) + 1):
                y = backbone.pool(later, blocks[later - 1](y)[0])
            answers[number - 1, expert] = model.classifier(y).argmax(1)
        x = mixed[-1]
    return answers


def ablation_table(effects: Effects, experts: pd.DataFrame) -> pd.DataFrame:
    """Return a row per block and expert: the columns of `experts` (see `expert_table`) and the effect of its ablation.

    Adds accuracy, change, low, high (fractions), flipped (how many images get another class) and dead. A dead expert is little
    used and without effect. Low use alone is not enough, since a softmax never gives an expert a weight of 0.
    """
    places = zip(experts["block"] - 1, experts["expert"] - 1, strict=True)
    rows = [paired_change(effects, effects.changed[place]) for place in places]
    table = pd.concat([experts.reset_index(drop=True), pd.DataFrame(rows)], axis=1)
    without_effect = table["flipped"] <= DEAD_FLIPS * len(effects.labels)
    table = table.assign(dead=(table["utilization"] < HARDLY_USED) & without_effect)
    # the columns that a narrow page has room for come first
    first = ["block", "expert", "weight", "change", "low", "high", "flipped", "dead"]
    return table[[*first, *table.columns.difference(first, sort=False)]]


def class_effects(effects: Effects, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row per class, block and expert: the change in accuracy on the class's images without the expert."""
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
