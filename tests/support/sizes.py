"""The sizes of the images that networks see."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from expertnet.network.model import ExpertNet


@contextmanager
def seen_sizes() -> Iterator[list[int]]:
    """Collect the widths of the batches that the networks of this process are given."""
    sizes: list[int] = []

    def note(module: nn.Module, given: tuple[Any, ...]) -> None:
        if isinstance(module, ExpertNet):
            sizes.append(given[0].shape[-1])

    hook = nn.modules.module.register_module_forward_pre_hook(note)
    try:
        yield sizes
    finally:
        hook.remove()
