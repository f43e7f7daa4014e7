"""Loading in the background what the first visits of the pages would wait for.

In this module: warm_up.
"""

from __future__ import annotations

import importlib
import threading
from functools import cache

MODULES = (  # in the order in which they are missed
    "expertnet.jobs",  # with torch, which takes longest
    "expertnet.curves",  # with pandas and altair
    "torch._dynamo",  # for estimate: torch's counter of multiply-adds
    "expertnet.estimate",
    "expertnet.figures",  # with scipy and scikit-learn
    "expertnet.inference",
)


@cache
def warm_up() -> None:
    """Begins to load them, once in a process."""

    def load() -> None:
        for name in MODULES:
            importlib.import_module(name)

    threading.Thread(target=load, name="warm-up", daemon=True).start()
