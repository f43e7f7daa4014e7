"""What the server does before it answers, without any page, and before it ends."""

import asyncio
import gc
import importlib
import threading
import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import streamlit as st

MODULES = (
    "expertnet.training.manager",  # with torch
    "expertnet.charts.training",  # with pandas and altair
    "expertnet.findings.verdict",  # with scipy and scikit-learn
    "expertnet.inference.routing_cache",
)
NEWEST = 200  # runs in which a killed process may have left something
LOOK_EVERY = 5.0  # seconds between two looks for what commands have queued, which an open page notices at once


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncGenerator[None]:
    """Load the modules that pages need before the server answers, and close the training manager when it ends."""
    await asyncio.to_thread(load_modules)  # or the first visitor would wait for torch
    ends = threading.Event()
    threading.Thread(target=read_runs, name="read runs", daemon=True).start()
    threading.Thread(target=look_for_work, args=(ends,), name="look for work", daemon=True).start()
    yield
    ends.set()
    from expertnet.sweeps.driver import driver
    from expertnet.training.manager import manager

    driver().close()
    manager().close()  # not atexit: a signal ends the process without it


def load_modules() -> None:
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()  # modules are never garbage, and collecting through all of torch would delay a page


def read_runs() -> None:
    """Read every run of the store into the index for the first page, delete what killed processes left, and decode samples."""
    from expertnet.data.samples import prepare_samples
    from expertnet.errors import DatasetError
    from expertnet.store.index import open_index
    from expertnet.store.run_store import RunStore
    from expertnet.utils.files import TEMPORARY, remove_leftovers

    store = RunStore()
    while (index := open_index(store)).unread:  # a second at a time, between which pages get what has been read
        pass
    for row in (*index.rows(limit=NEWEST), *index.rows(state=["interrupted"])):
        remove_leftovers(row.run.path, TEMPORARY)
    with suppress(DatasetError):  # there are cards without images
        prepare_samples()


def look_for_work(ends: threading.Event) -> None:
    """Train what an earlier server has left, and what commands queue, also while no page is open."""
    from expertnet.sweeps.driver import driver
    from expertnet.training.manager import manager

    while not ends.is_set():
        try:
            manager()
            driver()
        except Exception:  # such as a store that cannot be read now; the terminal is the only place for it
            traceback.print_exc()
        ends.wait(LOOK_EVERY)
