"""The routing of a test set, computed once per checkpoint and cached in the run's folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from expertnet.data.builtin import BUILTIN
from expertnet.data.datasets import find_cached, load_test_split
from expertnet.data.info import find_own
from expertnet.data.splits import Split
from expertnet.errors import RunError
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.network.evaluation import EVALUATION_BATCH
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.store.status import TRAINING_STATES
from expertnet.utils.files import UNWRITABLE, cached_on_file, write_atomically
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent

# errors of a missing, damaged or foreign file; TypeError is that of the length of a single number
UNUSABLE = (RunError, OSError, SafetensorError, ValueError, KeyError, TypeError)
CACHED = frozenset(  # types of numbers that results are cached in; torch can hardly compute with others
    {torch.uint8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64}
)


@dataclass(frozen=True, eq=False)  # compared by identity, to serve as a cache key
class Routed:
    """The outputs of a network on the N images of a test set, in their order."""

    routing: Tensor  # (N, B, K) float32, stored as float16
    labels: Tensor  # (N,) int64: true classes
    predictions: Tensor  # (N,) int64: predicted classes
    routed_blocks: tuple[int, ...] = ()  # those with experts, from 1; empty if all have them
    images: str | None = None  # the fingerprint of the images; None if their order is not certain

    @property
    def blocks(self) -> tuple[int, ...]:
        """Return the numbers of the blocks that have experts, from 1."""
        return self.routed_blocks or tuple(range(1, self.routing.shape[1] + 1))


def cache_path(run: Run, what: str, checkpoint: Checkpoint) -> Path:
    """Return the file of the cached tensors `what` of a checkpoint."""
    return run.path / f"{what}-{checkpoint}.safetensors"


def cached_routing(run: Run, checkpoint: Checkpoint = "best", split: Split | None = None) -> Routed | None:
    """Return the cached routing of the test set; None if there is none of this epoch and these images or it is damaged.

    With the test set `split`, also None if the routing may be of its images in another order.
    """
    try:
        routed = _read_routed(cache_path(run, "routing", checkpoint), load_predictor(run, checkpoint))
    except UNUSABLE:
        return None
    same = split is None or (routed.images is not None and torch.equal(routed.labels, split.labels))
    return routed if same else None


@cached_on_file(maxsize=32)
def _read_routed(path: Path, predictor: Predictor) -> Routed:
    """Return the routing in a file. Raises ValueError if it cannot come from this network, as imported files may."""
    tensors, images = read_tensors(path, predictor)
    routing, labels, predictions = tensors["routing"].float(), tensors["labels"], tensors["predictions"]
    model, count = predictor.settings.model, len(labels)
    shapes = [tuple(tensor.shape) for tensor in (routing, labels, predictions)]
    if not count or shapes != [(count, model.num_blocks, model.num_experts), (count,), (count,)]:
        raise ValueError("not the shape of this network's routing")
    if not ((routing >= 0).all() and torch.allclose(routing.sum(2), torch.ones(()), atol=0.01)):
        raise ValueError("not routing weights")
    for classes in (labels, predictions):
        check_classes(classes, len(predictor.classes))
    return Routed(routing, labels.long(), predictions.long(), model.routed_blocks, images)


def check_classes(classes: Tensor, num_classes: int) -> None:
    """Raise ValueError unless a tensor holds indices of classes only."""
    if classes.is_floating_point() or classes.min() < 0 or classes.max() >= num_classes:
        raise ValueError("not indices of classes")


def has_own_test_set(run: Run) -> bool:
    """Return whether the test set that a run was trained on is on this machine and needs no reading of a folder or archive."""
    data, own, spec = run.settings().data, run.dataset_info(), BUILTIN.get(run.settings().data.dataset)
    if own and find_own(own):
        return True
    return find_cached(data) is not None or (spec is not None and not spec.download_bytes)


def load_own_test_set(run: Run, progress: Report = silent) -> Split:
    """Return the test set of the images that a run was trained on. Raises DatasetError if they are no longer there."""
    return load_test_split(run.settings().data, progress, run.dataset_info())[0]


def route_test_set(
    run: Run,
    split: Split,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    threads: int | None = None,
    cancelled: ShouldStop = never,
) -> Routed:
    """Return the routing of the run's own test set `split`, from the cache if it is there, else computed and cached.

    Raises RunError if there is no usable checkpoint, or if its routing is not finite, and Cancelled.
    """
    predictor = load_predictor(run, checkpoint, threads)
    found = cached_routing(run, checkpoint, split)
    if found is not None:
        return found
    weights, predictions = [], []
    for here, share in in_batches(split, cancelled):
        progress("Routing the test images", share)
        probabilities, routing = predictor(split.images[here])
        weights.append(routing)
        predictions.append(probabilities.argmax(1))
    routing, blocks = torch.cat(weights).half().float(), predictor.settings.model.routed_blocks
    if not routing.isfinite().all():
        raise RunError(
            f"The network of run {run.title} gives test images routing weights that are not finite numbers. Choose another checkpoint or "
            "run."
        )
    routed = Routed(routing, split.labels.clone(), torch.cat(predictions), blocks, predictor.info.fingerprint)
    tensors = {
        "routing": routed.routing.half(),
        "labels": routed.labels.to(torch.int16),
        "predictions": routed.predictions.to(torch.int16),
    }
    cache_tensors(run, "routing", checkpoint, predictor, tensors)
    return routed


def cache_tensors(
    run: Run, what: str, checkpoint: Checkpoint, predictor: Predictor, tensors: dict[str, Tensor]
) -> None:
    """Store tensors computed with a checkpoint in the run's folder, unless the run is training and its best epoch may change.

    If the folder cannot be written or the disk is full, they are computed again next time.
    """
    if run.state not in TRAINING_STATES:
        metadata = {"epoch": str(predictor.epoch), "images": predictor.info.fingerprint}
        try:
            write_atomically(cache_path(run, what, checkpoint), save(tensors, metadata))
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise


def in_batches(split: Split, cancelled: ShouldStop) -> Iterator[tuple[slice, float]]:
    """Yield batches of a test set and the share of images before each. Raises Cancelled when `cancelled` returns True."""
    for start in range(0, len(split), EVALUATION_BATCH):
        raise_if_cancelled(cancelled)
        yield slice(start, start + EVALUATION_BATCH), start / len(split)


@cached_on_file(maxsize=32)
def read_tensors(path: Path, predictor: Predictor) -> tuple[dict[str, Tensor], str | None]:
    """Return cached tensors, and the fingerprint of their images, None if their order is not certain.

    Raises ValueError if they were computed with another network or from other images, or are not numbers as in cached results.
    """
    with safe_open(path, framework="pt") as file:
        metadata, own = file.metadata() or {}, predictor.info.fingerprint
        # Older versions did not write it. They used the images that a folder held at the time, and decoded folders and archives in
        # an order that depended on the number of threads.
        images = metadata.get("images", None if own.startswith(("folder-", "archive-")) else own)
        trusted = images == own or (images is None and not own.startswith("folder-"))
        if metadata.get("epoch") != str(predictor.epoch) or not trusted:
            raise ValueError("computed for another epoch or from other images")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    if any(tensor.dtype not in CACHED for tensor in tensors.values()):
        raise ValueError("not the numbers of cached results")
    return tensors, images
