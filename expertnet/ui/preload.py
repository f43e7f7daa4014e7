"""Loading what pages stand on before anybody comes.

In this module: warm_up (modules, which every page waits for), read_ahead (the store's runs, which only some do).
"""

from __future__ import annotations

import gc
import importlib
import threading
from functools import cache

MODULES = (  # in the order in which they are missed
    "expertnet.training.manager",  # with torch, which takes longest
    "expertnet.charts.training",  # with pandas and altair
    "expertnet.findings.ablations",  # with scipy and scikit-learn
    "expertnet.inference.routing_cache",
)


@cache
def warm_up() -> threading.Thread:
    """Begins to load them, once in a process; the thread has ended when no page has to wait for them."""

    def load() -> None:
        for name in MODULES:
            importlib.import_module(name)
        gc.freeze()  # modules are no garbage, and each look through all of torch would hold a page up

    thread = threading.Thread(target=load, name="warm-up", daemon=True)
    thread.start()
    return thread


def read_ahead() -> threading.Thread:
    """Begins to read every run of the store; a page that comes meanwhile finds those that have been read."""

    def read() -> None:
        from expertnet.store.index import run_rows
        from expertnet.store.run_store import RunStore

        run_rows(RunStore())

    thread = threading.Thread(target=read, name="read ahead", daemon=True)
    thread.start()
    return thread
