"""What a linear probe reads about the class from each block's routing weights, and from those of random routers.

An expert drawn by the weights says less about the class than the weights themselves, which the network uses. The information that a
linear probe can use is the entropy of the class minus the probe's held-out cross-entropy (Xu 2020, arXiv:2002.10689).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import UNUSABLE, Routed, cache_path, cache_tensors, in_batches, read_tensors
from expertnet.network.model import Block, sharing
from expertnet.network.router import Router
from expertnet.settings.schema import ModelSettings
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.utils.files import cached_on_file
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

FOLDS = 5  # of the cross-validation; a probe needs as many images of a class
ROUTERS = 5  # random routers of each block
# The router of the report, and of networks without one
PLAIN = {"router_input": "mean", "router_output": "softmax", "top_k": 0}


@dataclass(frozen=True, eq=False)  # compared by identity, as Routed, to serve as a cache key
class Probes:
    """What linear probes read about the class, in bits, by block with experts."""

    entropy: float  # of the class, the most that can be read; 0 if fewer than two classes have enough images
    learned: Tensor  # (B,)
    error: Tensor  # (B,): standard errors of `learned`
    random: Tensor  # (ROUTERS, B), or (0, B) if the images were missing


def probe(weights_NK: Tensor, labels_N: Tensor) -> Tensor:
    """Return how many bits of each image's class multinomial logistic regression reads from its weights, held out: (N,).

    It is the logarithm of the class's probability given the weights minus that of its share of the images. Each class needs at
    least FOLDS images.
    """
    features, labels = weights_NK.double().numpy(), labels_N.numpy()
    features = (features - features.mean(0)) / features.std(0).clip(1e-6)
    share_C = np.bincount(labels) / len(labels)
    order = np.random.default_rng(0).permutation(len(labels))
    order = order[labels[order].argsort(kind="stable")]
    gain = -np.log(share_C[labels])
    for fold in range(FOLDS):
        held_out = order[fold::FOLDS]  # the images of each class take turns
        rest = np.delete(np.arange(len(labels)), held_out)
        model = LogisticRegression(max_iter=1000).fit(features[rest], labels[rest])
        places = np.searchsorted(model.classes_, labels[held_out])
        gain[held_out] += model.predict_log_proba(features[held_out])[np.arange(len(held_out)), places]
    return torch.from_numpy(gain / math.log(2))


def random_router(channels: int, model: ModelSettings, generator: torch.Generator) -> Router:
    """Return the router of a block with C channels, as before training: (N, C, H, W) -> (N, K)."""
    with torch.device("meta"):  # draws nothing from the global generator, which a training in this process may use
        router = Router(channels, model.num_experts, model)
    router.to_empty(device="cpu")
    router.temperature.fill_(1.0)
    for layer in (router.squeeze, router.route):  # as nn.Linear begins
        reach = layer.in_features**-0.5
        for parameter in (layer.weight, layer.bias):
            nn.init.uniform_(parameter, -reach, reach, generator=generator)
    return router.requires_grad_(False).eval()


def random_routing(
    predictor: Predictor, split: Split, progress: Report = silent, cancelled: ShouldStop = never, seed: int = 0
) -> Tensor:
    """Return the weights of ROUTERS random routers in each block with experts, which see what the learned ones see: (R, N, B, K).

    Raises Cancelled when `cancelled` returns True.
    """
    model, net, generator = predictor.settings.model, predictor.model, torch.Generator().manual_seed(seed)
    settings = model if model.routing != "uniform" else model.model_copy(update=PLAIN)
    widths = (model.stem_width, *model.block_widths)
    routers = {
        number: [random_router(widths[number - 1], settings, generator) for _ in range(ROUTERS)]
        for number in model.routed_blocks
    }
    batches = []
    for here, share in in_batches(split, cancelled):
        progress("Routing with random routers", share)
        with torch.inference_mode():
            x_NCHW, weights = net.stem(predictor.normalized(split.images[here])), []
            for number, block in enumerate(cast(list[Block], list(net.backbone.blocks)), 1):
                if number in routers:
                    weights_RNK = torch.stack([router(x_NCHW) for router in routers[number]])
                    weights.append(weights_RNK if block.sums_to_1 else sharing(weights_RNK)[0])
                x_NCHW = net.backbone.pool(number, block(x_NCHW)[0])
            batches.append(torch.stack(weights, 2))
    return torch.cat(batches, 1)


def measure_probes(
    run: Run,
    routed: Routed,
    split: Split | None = None,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    cancelled: ShouldStop = never,
    threads: int | None = None,
) -> Probes:
    """Probe the routing of the test set and, with its images `split`, random routers; cache the result in the run's folder.

    Raises Cancelled when `cancelled` returns True.
    """
    predictor = load_predictor(run, checkpoint, threads)
    random_RNBK = None if split is None else random_routing(predictor, split, progress, cancelled)
    found = probe_all(routed, random_RNBK, progress, cancelled)
    if found.entropy:
        numbers = vars(found) | {"own_kind": 1.0}  # of the random routers
        tensors = {name: torch.as_tensor(each, dtype=torch.float64).contiguous() for name, each in numbers.items()}
        cache_tensors(run, "probes", checkpoint, predictor, tensors)
    return found


def probe_all(
    routed: Routed, random_RNBK: Tensor | None = None, progress: Report = silent, cancelled: ShouldStop = never
) -> Probes:
    """Probe the routing of a test set and, if given, that of R random routers for the same images.

    Raises Cancelled when `cancelled` returns True.
    """
    blocks, sizes_C = len(routed.blocks), torch.bincount(routed.labels)
    kept_N, kept_C = sizes_C[routed.labels] >= FOLDS, sizes_C[sizes_C >= FOLDS].double()
    if len(kept_C) < 2:
        return Probes(0.0, torch.zeros(blocks), torch.zeros(blocks), torch.zeros(0, blocks))
    routings = [
        routed.routing[:, [block - 1 for block in routed.blocks]],
        *(() if random_RNBK is None else random_RNBK),
    ]
    gains: list[Tensor] = []
    for weights_NK in (each for routing in routings for each in routing[kept_N].unbind(1)):
        raise_if_cancelled(cancelled)
        progress("Probing the routing weights", len(gains) / len(routings) / blocks)
        gains.append(probe(weights_NK, routed.labels[kept_N]))
    gain_RBN = torch.stack(gains).unflatten(0, (len(routings), blocks))
    bits_RB, error_B = gain_RBN.mean(2).clamp_min(0), gain_RBN[0].std(1) / gain_RBN.shape[2] ** 0.5
    entropy = torch.special.entr(kept_C / kept_C.sum()).sum() / math.log(2)
    return Probes(float(entropy), bits_RB[0], error_B, bits_RB[1:])


def cached_probes(run: Run, checkpoint: Checkpoint = "best", split: Split | None = None) -> Probes | None:
    """Return what `measure_probes` has measured before, or None; with `split`, also None without random routers."""
    try:
        found = _read_probes(cache_path(run, "probes", checkpoint), load_predictor(run, checkpoint))
    except UNUSABLE:
        return None
    return found if split is None or len(found.random) else None


@cached_on_file(maxsize=16)
def _read_probes(path: Path, predictor: Predictor) -> Probes:
    """Return the probes in a file. Raises ValueError if they cannot be of this network."""
    tensors, _ = read_tensors(path, predictor)
    entropy, learned, error, random = (tensors[name] for name in ("entropy", "learned", "error", "random"))
    model = predictor.settings.model
    if "own_kind" not in tensors and any(getattr(model, name) != value for name, value in PLAIN.items()):
        random = random[:0]  # older versions drew plain routers for every network
    blocks = len(model.routed_blocks)
    if [entropy.shape, learned.shape, error.shape, random.shape[1:]] != [(), (blocks,), (blocks,), (blocks,)]:
        raise ValueError("not the shape of this network's probes")
    if not all((tensor.isfinite() & (tensor >= 0)).all() for tensor in (entropy, learned, error, random)):
        raise ValueError("not information")
    return Probes(float(entropy), learned, error, random)
