"""Loading what pages stand on before anybody comes.

In this module: warm_up.
"""

from __future__ import annotations

import importlib
import threading
from functools import cache

MODULES = (  # in the order in which they are missed
    "expertnet.jobs",  # with torch, which takes longest
    "expertnet.curves",  # with pandas and altair
    "expertnet.effect_figures",  # with scipy and scikit-learn
    "expertnet.inference",
)


@cache
def warm_up() -> threading.Thread:
    """Begins to load them, once in a process; the thread has ended when no page has to wait for them."""

    def load() -> None:
        for name in MODULES:
            importlib.import_module(name)

    thread = threading.Thread(target=load, name="warm-up", daemon=True)
    thread.start()
    return thread
