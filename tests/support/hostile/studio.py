"""A studio to attack: a store with one trained run, a data folder, and bait beside them that nothing may touch."""

import io
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from expertnet.errors import RunError
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import cached_routing
from expertnet.routing.ablations import ABLATIONS
from expertnet.routing.policies import ROUTINGS
from expertnet.store.checks import find_damage, has_network
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.transfer.export_run import export_run
from tests.support.hostile.inputs import outside
from tests.support.hostile.watch import Watch, tree
from tests.support.opening import finished, new_session
from tests.support.small import can_resume

Cases = tuple[st.SearchStrategy[Any], Callable[[Any], None]]  # what is tried, and what must hold for each

PAGES = ("train", "runs", "evaluate", "experts", "predict")
ON_PAGES = 40  # one run in 40 is also opened on the pages, which takes a hundred times as long


class Studio:
    """The store, its one run, and what happened to the cases so far (`counts`)."""

    def __init__(self, folder: Path) -> None:
        self.store, self.data, self.bait = RunStore(folder / "runs"), folder / "data", folder / "bait"
        os.environ |= {"EXPERTNET_RUNS": str(self.store.root), "EXPERTNET_DATA": str(self.data)}
        (self.bait / "train" / "cat").mkdir(parents=True)
        for name in ("config.json", "secret", "train/cat/1.png", "best.safetensors"):
            (self.bait / name).write_bytes(b"bait")
        self.run = finished(self.store)
        self.outside = outside(str(self.bait), self.run.id)
        packed = io.BytesIO()
        export_run(self.run, packed)
        self.export = packed.getvalue()
        # A new creation time makes this a different run from the exported one
        self.run.write_config(self.run.config() | {"created": "2000-01-01T00:00:00+00:00"})
        self.intact = {path.name: path.read_bytes() for path in self.run.path.iterdir()}
        self.watch, self.bait_before = Watch(self.store.root, self.data), tree(self.bait)
        self.counts: Counter[str] = Counter()
        self.page_candidates = 0

    def refuse(self, error: Exception) -> None:
        """Count a refusal and assert that it is one sentence."""
        self.counts["refused"] += 1
        assert_sentence(error)

    def is_turn(self, every: int) -> bool:
        """Return True for the first of every so many calls."""
        self.page_candidates += 1
        return self.page_candidates % every == 1

    def open_some(self, run: Run) -> bool:
        """Open every page on one run in ON_PAGES; return whether this run was one of them."""
        turn = self.is_turn(ON_PAGES)
        for page in PAGES if turn else ():
            self.page(page, run=run.id)
        return turn

    def page(self, name: str, **query: str) -> AppTest:
        """Open a page with a query, and assert that it shows no exception and no HTML."""
        test = new_session(name)
        for key, value in query.items():
            test.query_params[key] = value
        test.run()
        self.counts["pages opened"] += 1
        assert not test.exception, [error.value for error in test.exception]
        assert not any(text.proto.allow_html for text in test.markdown)
        return test

    def damage(self, name: str, content: bytes) -> str | None:
        """Replace one file of a copy of the run, call every reader, and return the damage that the run reports."""
        path = self.store.root / "20260101-000000-beef"
        shutil.copytree(self.run.path, path)
        try:
            (path / name).write_bytes(content)
            run = Run(path)
            use(run)
            damage = find_damage(run)
            self.counts["named as damaged"] += damage is not None
            if self.open_some(run) and damage is not None:
                frame = self.page("runs").dataframe[0].value
                assert any("(damaged)" in str(title) for title in frame["Run"])
            return damage
        finally:
            shutil.rmtree(path)


def assert_sentence(error: Exception | str) -> None:
    assert str(error).endswith(".") and "\n" not in str(error), str(error)


def use(run: Run) -> None:
    """Read everything that the pages read of a run. Each reader answers or raises RunError with a sentence."""
    find_damage(run), run.status(), run.metrics(), run.log_tail(), run.title, run.dataset, run.given_name, run.created
    run.card(), run.dataset_info(), run.checkpoints.saved_epochs(), can_resume(run), has_network(run), run.watches_test
    try:
        load_predictor(run)
        cached_routing(run)
        ROUTINGS.cached(run, "validation"), ABLATIONS.cached(run, "test")
    except RunError as error:
        assert_sentence(error)
