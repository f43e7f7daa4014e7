"""Runs to test with, and pages opened without a browser."""

import json
import os
import re
import shutil
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl

from streamlit.testing.v1 import AppTest

from expertnet.settings.fields import build_settings
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from expertnet.ui.shell import SCRIPT
from tests.support.served import ROOT
from tests.support.small import LIMIT

SHIPPED_DIGITS = ROOT / "runs" / "20261124-123318-dac5"
SHIPPED_CONTEXTS = ROOT / "runs" / "20261126-073814-d4ec"
SHIPPED_PHOTOS = ROOT / "runs" / "20261126-095209-771e"
SHIPPED = (SHIPPED_DIGITS, SHIPPED_CONTEXTS, SHIPPED_PHOTOS)
TINY = {
    "model.num_blocks": 2,
    "model.channels": 8,
    "model.pool_after": (1,),
    "data.image_size": 8,
    "data.crop_padding": 1,
    "training.epochs": 2,
    "hardware.device": "cpu",
}


def finished(store: RunStore, **overrides: object) -> Run:
    """Return a finished run on the digits. Each network is trained once per process and then copied."""
    run = store.create(build_settings("quick", "digits", TINY | overrides), "quick", "<b>mine</b> *x*")
    source, created = _trained(tuple(sorted(overrides.items()))), run.created
    for file in source.path.iterdir():
        shutil.copy(file, run.path)
    run.write_config(source.config() | {"created": created})
    assert run.state == "finished"
    return run


@cache
def _trained(overrides: tuple[tuple[str, object], ...]) -> Run:
    settings = build_settings("quick", "digits", TINY | dict(overrides))
    run = RunStore(Path(os.environ["EXPERTNET_DATA"]) / "trained").create(settings, "quick", "<b>mine</b> *x*")
    run_training(run, Stop())
    assert run.state == "finished", run.log_tail()
    return run


def written(
    store: RunStore,
    name: str = "",
    preset: str = "quick",
    dataset: str = "digits",
    state: str = "finished",
    accuracy: float = 0.9,
    epochs: int = 3,
    **settings: object,
) -> Run:
    """Return a run with a history but without a network, which takes no training."""
    run = store.create(build_settings(preset, dataset, settings), preset, name)
    lines = [
        {"epoch": n, "val_accuracy": accuracy * n / epochs, "val_loss": 1 / n, "seconds": 2.0}
        for n in range(1, epochs + 1)
    ]
    (run.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run.write_status(
        Status().changed(
            state=state, epoch=epochs, epochs=epochs, steps=10, best_epoch=epochs, best_val_accuracy=accuracy
        )
    )
    return run


def copy_of_shipped(store: RunStore, name: str) -> Run:
    """Copy the digits run that ships with the app into a store, as if the user had trained it."""
    run = Run(store.root / SHIPPED_DIGITS.name.replace("-dac5", "-0000"))
    shutil.copytree(SHIPPED_DIGITS, run.path)
    run.write_config(run.config() | {"name": name, "shipped": False})
    (run.path / "card.md").unlink()
    return run


def new_session(page: str) -> AppTest:
    """Return a new session on a page whose script has not run yet."""
    return to_page(AppTest.from_file(str(SCRIPT), default_timeout=LIMIT), page)


def to_page(test: AppTest, page: str) -> AppTest:
    return test.switch_page(str(ROOT / "pages" / f"{page}.py"))


def opened(page: str, run: str | None = None, **query: str) -> AppTest:
    """Open a page with a query, and with a run's id if given."""
    test = new_session(page)
    for name, value in (query | ({"run": run} if run is not None else {})).items():
        test.query_params[name] = value
    test.run()
    assert not test.exception, [error.value for error in test.exception]
    return test


def pressed(test: AppTest, label: str) -> AppTest:
    """Press the only button with a label."""
    (button,) = [each for each in test.button if each.label == label]
    button.click().run()
    assert not test.exception
    return test


def query_of(test: AppTest) -> dict[str, str]:
    """Return the query that the Train page writes to the URL."""
    bodies = [html.proto.body for html in test.get("html")]
    (query,) = [found[1] for body in bodies if (found := re.search(r"location.pathname \+ '([^']*)'", body))]
    return dict(parse_qsl(query.lstrip("?"), keep_blank_values=True))
