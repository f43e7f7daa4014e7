"""The accuracy of the network under six routing policies, on the whole test set."""

import pandas as pd
import torch

from expertnet.data.splits import Split
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import Routed, in_batches
from expertnet.network.model import Changes
from expertnet.network.routing_metrics import class_means, usage
from expertnet.routing.effects import POLICIES, Effects, paired_change, save_effects
from expertnet.routing.interventions import given, top1, uniform
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.utils.progress import Report, ShouldStop, never, silent


def measure_policies(
    run: Run,
    split: Split,
    routed: Routed,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    cancelled: ShouldStop = never,
    threads: int | None = None,
) -> Effects:
    """Classify the test set under each of the POLICIES, and cache the result in the run's folder.

    `routed` is the learned routing of `split`. Raises Cancelled when `cancelled` returns True.
    """
    predictor = load_predictor(run, checkpoint, threads)
    routing, labels = routed.routing, routed.labels
    other = routing[torch.randperm(len(routing), generator=torch.Generator().manual_seed(0))]
    by_class = class_means(routing, labels, len(predictor.classes))[labels]

    def changes(policy: str, here: slice) -> Changes:
        if policy in ("uniform", "first"):
            return dict.fromkeys(routed.blocks, uniform if policy == "uniform" else top1)
        source = {"mean": usage(routing).expand_as(routing), "class": by_class, "shuffled": other}[policy]
        return {block: given(source[here, block - 1]) for block in routed.blocks}

    rows = [routed.predictions]
    for policy in list(POLICIES)[1:]:
        done = []
        for here, share in in_batches(split, cancelled):
            progress(f"Routing with {POLICIES[policy]}", (len(rows) - 1 + share) / (len(POLICIES) - 1))
            done.append(predictor(split.images[here], changes(policy, here))[0].argmax(1))
        rows.append(torch.cat(done))
    return save_effects(Effects(labels, rows[0], torch.stack(rows)), "policies", run, checkpoint, predictor)


def policy_table(effects: Effects) -> pd.DataFrame:
    """Return a row per policy: policy, routing (in words), and the columns of `paired_change`."""
    rows = [paired_change(effects, changed) for changed in effects.changed]
    return pd.DataFrame({"policy": list(POLICIES), "routing": list(POLICIES.values())}).join(pd.DataFrame(rows))
