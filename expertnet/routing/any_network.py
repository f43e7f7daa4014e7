"""Any torch module as a network of the routing lab: where its routing weights are, and how to replace them.

Hooks read and replace the weights in each pass, so that the module's code stays as it is.
"""

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from expertnet.data.splits import Split
from expertnet.errors import NetworkError
from expertnet.inference.routing_cache import Routed
from expertnet.network.model import UNCHANGED, Changes
from expertnet.routing.passes import ESTIMATED_ON
from expertnet.utils.progress import Report, ShouldStop, never, raise_if_cancelled, silent
from expertnet.utils.text import counted

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
ROUNDING = 1e-3  # by which weights may differ that were written and read again

ChangesOf = Callable[[slice], Changes]  # the changes to the routing of a batch of images


def as_it_is(value: Tensor) -> Tensor:
    return value


def always(changes: Changes) -> ChangesOf:
    """Change the routing of every batch in the same way."""
    return lambda here: changes


unchanged = always(UNCHANGED)


@dataclass(frozen=True)
class Layer:
    """Where the routing weights of a layer are in a network, and how to replace them.

    They are what the module returns or, with `argument`, what each of the modules gets as that argument. If the weights are
    neither, pass them through an `nn.Identity()`, and name that.
    """

    modules: str | tuple[str, ...]  # names in `named_modules()`
    argument: int | str | None = None  # place (from 0) or name of an argument of `forward`
    read: Callable[[Tensor], Tensor] = as_it_is  # what is there -> weights (N, K), not negative, above 0 in sum
    write: Callable[[Tensor], Tensor] = as_it_is  # weights (N, K) -> what belongs there

    @property
    def names(self) -> tuple[str, ...]:
        return (self.modules,) if isinstance(self.modules, str) else self.modules


class AnyNetwork:
    """A copy of a classifier, in evaluation mode, with B layers that mix K experts with weights for each image.

    `model` takes images as the splits have them (N, ...) and returns logits (N, classes). Blocks are the layers, from 1.
    """

    def __init__(self, model: nn.Module, layers: Sequence[Layer], classes: Sequence[str], batch: int = 64) -> None:
        """Copy the model. `batch` is how many images it takes at a time. Raises NetworkError if a layer names no module."""
        # results that modules keep of a training step cannot be copied
        kept = (each for module in model.modules() for each in vars(module).values() if isinstance(each, Tensor))
        self.model = copy.deepcopy(model, {id(each): each.detach() for each in kept if not each.is_leaf}).eval()
        self.layers, self.classes, self.batch = layers, tuple(classes), batch
        self.device = next((value.device for value in self.model.parameters()), torch.device("cpu"))
        known = {name for name, _ in self.model.named_modules()}
        if not layers or not all(layer.names for layer in layers):
            raise NetworkError("There is no layer with routing weights. Name the modules that return them or get them.")
        for name in (name for layer in layers for name in layer.names):
            if name not in known:
                raise NetworkError(f"The network has no module {name!r}. Choose a name from `model.named_modules()`.")
        for layer in layers:
            if layer.argument is None and len(layer.names) > 1:
                raise NetworkError(
                    f"Only one module can return the weights of a layer. You named {', '.join(layer.names)}. If these get the weights, say "
                    "as which argument."
                )

    def __call__(self, images: Tensor, changes: Changes = UNCHANGED) -> tuple[Tensor, Tensor]:
        """Return logits (N, C) and routing weights (N, B, K) of a batch, with `changes` to the routing.

        The weights of an image sum to 1. If the network's do not, their sum stays when they are changed. Raises NetworkError.
        """
        with torch.no_grad():
            return self.differentiable(images, changes)

    def differentiable(self, images: Tensor, changes: Changes = UNCHANGED) -> tuple[Tensor, Tensor]:
        """Return the same, with gradients for what `changes` give."""
        with self._hooked(changes, len(images)) as seen:
            logits = self.model(images.to(self.device))
        missing = [layer.names[0] for number, layer in enumerate(self.layers, 1) if number not in seen]
        if missing:
            raise NetworkError(f"The network did not call {missing[0]!r}, so its routing weights are unknown.")
        expected = len(images), len(self.classes)
        if not isinstance(logits, Tensor) or logits.shape != expected:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise NetworkError(
                f"The network must return logits of the shape {expected}, one per image and class. It returned {found}."
            )
        routing = [seen[number] for number in sorted(seen)]
        experts = {weights.shape[1] for weights in routing}
        if len(experts) > 1:
            raise NetworkError(
                f"The layers must have equally many experts to be compared. They have {', '.join(map(str, sorted(experts)))}: "
                "study those with other numbers apart."
            )
        return logits.float().cpu(), torch.stack(routing, 1).float().cpu()

    def route(self, split: Split, progress: Report = silent, cancelled: ShouldStop = never) -> Routed:
        """Return the routing and the answers of the network for test images, as `Lab` takes them."""
        logits, routing = self.outputs(split, unchanged, progress, cancelled)
        content = hashlib.sha256(split.images.contiguous().numpy().tobytes() + split.labels.numpy().tobytes())
        return Routed(routing, split.labels.clone(), logits.argmax(1), images=content.hexdigest())

    def outputs(
        self, split: Split, changes_of: ChangesOf, progress: Report = silent, cancelled: ShouldStop = never
    ) -> tuple[Tensor, Tensor]:
        """Return the logits (N, C) and the routing weights (N, B, K) of a split. Raises NetworkError or Cancelled."""
        count, last = len(split.images), len(self.classes) - 1
        if not 0 < count == len(split) or split.labels.min() < 0 or split.labels.max() > last:
            raise NetworkError(f"Labels must be numbers from 0 to {last}, one for each image.")
        found = []
        for start in range(0, len(split), self.batch):
            raise_if_cancelled(cancelled)
            progress("Routing the images", start / len(split))
            here = slice(start, start + self.batch)
            found.append(self(split.images[here], changes_of(here)))
        logits, routing = (torch.cat(parts) for parts in zip(*found, strict=True))
        return logits, routing

    def estimated(self, training: Split, changes_of: ChangesOf = unchanged) -> Self:
        """Return the network with batch norms estimated again under changed routing, on the first ESTIMATED_ON training images.

        Their means and variances are those of whole batches, averaged (Wu and Johnson 2021, arXiv:2105.07576), so the images must
        be in random order.
        """
        count = min(len(training), ESTIMATED_ON)
        if count < 2:
            raise NetworkError("Batch norms are estimated from at least 2 training images. Pass more of them.")
        again = type(self)(self.model, self.layers, self.classes, self.batch)
        norms = [module for module in again.model.modules() if isinstance(module, NORMS) and module.track_running_stats]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # averages over batches
            norm.train()
        for start in range(0, max(count - self.batch, 0) + 1, self.batch):
            here = slice(start, min(start + self.batch, count))
            again(training.images[here], changes_of(here))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
        return again

    @contextmanager
    def _hooked(self, changes: Changes, count: int) -> Iterator[dict[int, Tensor]]:
        """Read and change the weights in the passes of this context. Yields the weights (N, K) by layer, as they come."""
        seen: dict[int, Tensor] = {}
        with ExitStack() as stack:
            for number, layer in enumerate(self.layers, 1):
                for name in layer.names:

                    def replaced(value: Any, number: int = number, layer: Layer = layer, name: str = name) -> Any:
                        if number in seen and layer.argument is None:
                            raise NetworkError(
                                f"The network calls {name!r} twice. Give each layer a router of its own."
                            )
                        learned_NK = _weights(value, count, layer, name)
                        sum_N1 = learned_NK.sum(1, keepdim=True)
                        seen[number] = learned_NK / sum_N1
                        if number not in changes:
                            return value
                        seen[number] = changes[number](seen[number])
                        return _written(seen[number] * sum_N1, layer, name).to(value.dtype)

                    stack.callback(_hook(self.model.get_submodule(name), name, layer.argument, replaced).remove)
            yield seen


def _weights(value: Any, count: int, layer: Layer, name: str) -> Tensor:
    """Return the weights (N, K) of `count` images that a module gets or returns. Raises NetworkError."""
    weights = layer.read(value) if isinstance(value, Tensor) else value
    if not isinstance(weights, Tensor) or weights.ndim != 2 or len(weights) != count:
        found = (
            f"have {tuple(weights.shape)}"
            if isinstance(weights, Tensor)
            else f"are of the type {type(weights).__name__}"
        )
        raise NetworkError(
            f"The weights at {name!r} must be a tensor of the shape ({count}, experts), a row for each image. They {found}."
        )
    if not (weights.isfinite() & (weights >= 0)).all() or not (weights.sum(1) > 0).all():
        raise NetworkError(
            f"The weights at {name!r} must be finite, not negative, and above 0 in sum for each image. If these are logits, `read` "
            "must turn them into weights."
        )
    return weights.float()


def _written(weights_NK: Tensor, layer: Layer, name: str) -> Tensor:
    """Return what belongs in the place of these weights. Raises NetworkError if the network would see others there."""
    written = layer.write(weights_NK)
    if not torch.allclose(layer.read(written).float(), weights_NK, atol=ROUNDING):
        raise NetworkError(
            f"Weights that were written to {name!r} are others when they are read again. `write` must undo `read` for any weights. If "
            "it cannot, pass the weights through an nn.Identity() after that place, and name it instead."
        )
    return written


def _hook(module: nn.Module, name: str, place: int | str | None, replaced: Callable[[Any], Any]) -> Any:
    """Let a module return or get other weights, and return the handle of the hook."""
    if place is None:
        return module.register_forward_hook(lambda module, args, output: replaced(output))

    def before(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if isinstance(place, str) and place in kwargs:
            return args, kwargs | {place: replaced(kwargs[place])}
        if isinstance(place, int) and place < len(args):
            return (*args[:place], replaced(args[place]), *args[place + 1 :]), kwargs
        raise NetworkError(
            f"{name!r} has no argument {place!r}: it gets {counted(len(args), 'argument')} by place (from 0), and by name: "
            f"{', '.join(kwargs) or 'none'}."
        )

    return module.register_forward_pre_hook(before, with_kwargs=True)
