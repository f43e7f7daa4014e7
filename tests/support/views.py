"""Every view of the pages and states of them, on a store that has something to show in each, and how far a view moves while it is drawn."""

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.store.trash import move_to_trash
from expertnet.utils.processes import this_process
from tests.support.opening import SHIPPED_CONTEXTS, copy_of_shipped, written
from tests.support.own import flowers, png
from tests.support.served import open_page, press_until, settle
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
STATES = {  # of the views, after a press or with what is otherwise closed
    "Train, settings open": "train?run=none",
    "Train, own images": "train?run=none",
    **{f"Train, tab {tab}": f"train?run={{finished}}&tab={tab}" for tab in ("Mistakes", "Settings", "Log")},
    "Runs, import": "runs?open=import",
    "Runs, trash": "runs?open=trash",
    **{f"Data, {view}": f"data?dataset={{flowers}}&view={view}" for view in ("Add", "Split", "Versions")},
    "Predict, drawn": "predict?run={finished}",
    "Predict, two uploaded": "predict?run={finished}",
    "Experts, two images": "experts?run={finished}&two=true",
    "Experts, tour": f"experts?run={SHIPPED_CONTEXTS.name}&tour=1",
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
  const place = ({ x, y, width, height }) => [x, y, width, height].map(Math.round).join(" ")
  const name = ({ node, previousRect: from, currentRect: to }) =>
    `${node?.closest?.("[data-testid]")?.dataset.testid}: ${node?.textContent?.slice(0, 40)} (${place(from)} to ${place(to)})`
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
    shutil.copytree(SHIPPED_CONTEXTS, store.root / SHIPPED_CONTEXTS.name)
    move_to_trash(written(store, "Deleted"))
    return {"live": live.id, "finished": finished.id, "flowers": dataset, "sweep": done(started(store)).id}


def open_view(page: "Page", address: str, name: str, ids: dict[str, str]) -> None:
    """Open a view or a state of one, and wait until all of it is drawn."""
    from playwright.sync_api import expect

    open_page(page, f"{address}/{(VIEWS | STATES)[name].format(**ids)}")
    _press(page, name)
    if name in ("Predict, Draw", "Predict, Upload"):
        page.get_by_role("radio", name=name.split()[-1]).click()
        settle(page.get_by_text(re.compile("^(Draw one of the classes|Invert)")))
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.locator("[data-testid=stVegaLiteChart]:not(:has(.marks))")).to_have_count(0)
    if name.startswith(("Data", "Evaluate", "Experts")):  # computes some views first
        expect(page.get_by_role("progressbar")).to_have_count(0)


def unfold_settings(page: "Page") -> None:
    """Open the settings on Train. A press is lost if the page draws itself anew at that moment."""
    press_until(
        page.locator("summary", has_text="Settings").click, page.get_by_role("spinbutton", name="Epochs").wait_for
    )


def _press(page: "Page", name: str) -> None:
    """Bring about the state of a view that no URL names, or wait for one that the URL names."""
    of, _, what = name.partition(", ")
    if name == "Train, settings open":
        unfold_settings(page)
        settle(page.get_by_role("spinbutton", name="Epochs"))
    elif name == "Train, own images":
        page.get_by_role("button", name="Your own images").click()
        settle(page.get_by_text("Upload a folder"))
    elif name == "Predict, drawn":
        page.get_by_role("radio", name="Draw").click()
        page.get_by_role("application", name="Canvas").press("Space")
        for key in (*["ArrowDown"] * 6, "Space"):
            page.keyboard.press(key)
        settle(page.get_by_role("heading", name="Answer: "))
    elif name == "Predict, two uploaded":
        page.get_by_role("radio", name="Upload").click()
        files = [{"name": f"{number}.png", "mimeType": "image/png", "buffer": png(number)} for number in (1, 2)]
        page.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]
        settle(page.get_by_role("button", name=re.compile("^2.png: ")))
    elif what.startswith("tab "):
        page.get_by_role("tab", name=what.removeprefix("tab "), selected=True).wait_for()
    elif name in ("Runs, import", "Runs, trash"):
        page.get_by_role("dialog").wait_for()
    elif of == "Data" and name in STATES:
        page.get_by_role("radio", name=what, checked=True).wait_for()
    elif name == "Experts, two images":
        settle(page.get_by_text("Second image minus first"))
    elif name == "Experts, tour":
        settle(page.get_by_text("1 of 6."))


def jumps(page: "Page") -> list[tuple[float, str]]:
    """Return each layout shift since the first content, and what moved. Their sum is the cumulative layout shift."""
    found: list[tuple[float, str]] = page.evaluate(_JUMPED)
    return found
