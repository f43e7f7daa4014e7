"""How a result is measured on the images of a run, and how it is kept in the run's folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import UNUSABLE, cache_path, cache_tensors, check_classes, read_tensors
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.utils.files import cached_on_file
from expertnet.utils.progress import Report, ShouldStop, never, silent

Sizes = dict[str, tuple[int, ...]]
T = TypeVar("T")


@dataclass(frozen=True)
class Measure(Generic[T]):
    """A result whose dataclass `kind` has a field `part` and tensors: integers that are classes, and floats."""

    name: str  # of its files
    kind: Callable[..., T]
    compute: Callable[[Predictor, Any, Report, ShouldStop], T]  # from images, such as `effects.Images`
    shapes: Callable[[int, Predictor], Sizes]  # of the tensors, from the number of labels
    classes: tuple[str, ...] = ("labels",)  # the tensors that are integers
    shares: bool = False  # whether the floats are fractions

    def measure(
        self,
        run: Run,
        images: Any,
        checkpoint: Checkpoint = "best",
        progress: Report = silent,
        cancelled: ShouldStop = never,
        threads: int | None = None,
    ) -> T:
        """Compute the result and cache it in the run's folder. Raises Cancelled when `cancelled` returns True."""
        predictor = load_predictor(run, checkpoint, threads)
        result = self.compute(predictor, images, progress, cancelled)
        tensors = {name: value for name, value in vars(result).items() if name != "part"}
        few = torch.uint8 if len(predictor.classes) <= 256 else torch.int16
        kept = {name: (each if each.is_floating_point() else each.to(few)) for name, each in tensors.items()}
        kept = {name: each.contiguous() for name, each in kept.items()}
        cache_tensors(run, f"{self.name}-{vars(result)['part']}", checkpoint, predictor, kept)
        return result

    def cached(self, run: Run, part: Part, checkpoint: Checkpoint = "best") -> T | None:
        """Return what `measure` has measured before, the same object until the file changes, or None."""
        try:
            found: T = _read(
                cache_path(run, f"{self.name}-{part}", checkpoint), part, self, load_predictor(run, checkpoint)
            )
        except UNUSABLE:
            return None
        return found


@cached_on_file(maxsize=64)
def _read(path: Path, part: Part, measure: Measure[T], predictor: Predictor) -> T:
    """Return the result in a file. Raises ValueError if it cannot be of this network, as in files from elsewhere."""
    tensors, _ = read_tensors(path, predictor)
    count = len(tensors["labels"])
    shapes = {name: tuple(each.shape) for name, each in tensors.items()}
    if not count or shapes != measure.shapes(count, predictor):
        raise ValueError("not the shape of such a result")
    for name, tensor in tensors.items():
        if name in measure.classes:
            check_classes(tensor, len(predictor.classes))
        elif not (tensor.is_floating_point() and tensor.isfinite().all()):
            raise ValueError("not finite floating-point numbers")
        elif measure.shares and not ((tensor >= 0) & (tensor <= 1.001)).all():  # a mean of weights may be rounded up
            raise ValueError("not shares")
    return measure.kind(
        part, **{name: each if each.is_floating_point() else each.long() for name, each in tensors.items()}
    )
