"""Every view of the pages, on a store that has something to show in each, and how far a view moves while it is drawn."""

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.utils.processes import this_process
from tests.support.opening import copy_of_shipped, written
from tests.support.own import flowers
from tests.support.served import open_page, settle
from tests.support.sweeps import done, started

if TYPE_CHECKING:
    from playwright.sync_api import Page

MOST_SHIFT = 0.05  # the cumulative layout shift that a view is to stay under
VIEWS = {
    "Train, idle": "train?run=none",
    "Train, live": "train?run={live}",
    "Train, finished": "train?run={finished}",
    "Data, built-in": "data?dataset=digits",
    "Data, Images": "data?dataset={flowers}",
    "Data, Check": "data?dataset={flowers}&view=Check",
    "Sweep, form": "sweep?sweep=none",
    "Sweep, finished": "sweep?sweep={sweep}",
    "Runs": "runs",
    "Runs, one selected": "runs?selected={finished}",
    "Runs, two selected": "runs?selected={finished},{live}",
    "Runs, one open": "runs?open={finished}",
    "Evaluate, Results": "evaluate?run={finished}",
    **{
        f"Evaluate, {view}": f"evaluate?run={{finished}}&view={view}"
        for view in ("Calibration", "Robustness", "Compare")
    },
    **{
        f"Experts, {view}": f"experts?run={{finished}}&view={view.replace(' ', '+')}"
        for view in ("One image", "Classes", "Each expert", "What if", "Controls", "Through training", "Compare")
    },
    "Predict, Samples": "predict?run={finished}",
    "Predict, Draw": "predict?run={finished}",
    "Predict, Upload": "predict?run={finished}",
}

RECORD = """
window.shifts = []
new PerformanceObserver((list) => shifts.push(...list.getEntries())).observe({ type: "layout-shift", buffered: true })
const watch = new MutationObserver(() => {
  if (!document.querySelector("[data-testid=stMain] h2")) return
  watch.disconnect()
  requestAnimationFrame(() => setTimeout(() => { window.firstContent = performance.now() }))  // once it is painted
})
watch.observe(document, { childList: true, subtree: true })
"""  # an init script of the page
_JUMPED = """async () => {
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))
  const name = ({ node }) => node?.closest?.("[data-testid]")?.dataset.testid + ": " + node?.textContent?.slice(0, 40)
  return shifts
    .filter((shift) => !shift.hadRecentInput && shift.startTime > firstContent)
    .map((shift) => [shift.value, shift.sources.map(name).join(", ")])
}"""


def filled(folder: Path, data: Path) -> dict[str, str]:
    """Fill folder/runs and `data`, and return the ids that VIEWS name."""
    with patch.dict(os.environ, EXPERTNET_DATA=str(data)):
        dataset = flowers(count=3)
    store = RunStore(folder / "runs")
    live = written(store, "Live")
    live.write_status(live.status().changed(process=this_process(), state="running", activity="Training", epochs=9))
    RunQueue(store.root).add(live.id)
    RunQueue(store.root).take(live.id)
    finished = copy_of_shipped(store, "Digits")
    shutil.copy(finished.path / "metrics.jsonl", live.path)
    shutil.copytree(finished.path, finished.path.with_name("20261124-123318-0001"))  # to compare with
    return {"live": live.id, "finished": finished.id, "flowers": dataset, "sweep": done(started(store)).id}


def open_view(page: "Page", address: str, name: str, ids: dict[str, str]) -> None:
    """Open a view, and wait until all of it is drawn."""
    from playwright.sync_api import expect

    open_page(page, f"{address}/{VIEWS[name].format(**ids)}")
    if name in ("Predict, Draw", "Predict, Upload"):
        page.get_by_role("radio", name=name.split()[-1]).click()
        settle(page.get_by_text(re.compile("^(Make your drawing of one of the classes|Invert)")))
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.locator("[data-testid=stVegaLiteChart]:not(:has(.marks))")).to_have_count(0)
    if name.startswith(("Data", "Evaluate", "Experts")):  # computes some views first
        expect(page.get_by_role("progressbar")).to_have_count(0)


def jumps(page: "Page") -> list[tuple[float, str]]:
    """Return each layout shift since the first content, and what moved. Their sum is the cumulative layout shift."""
    found: list[tuple[float, str]] = page.evaluate(_JUMPED)
    return found
