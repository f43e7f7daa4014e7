"""On every page, axe-core finds nothing serious in light and dark, and no two buttons have the same name."""

import re
import shutil
from collections import Counter

import pytest
from playwright.sync_api import expect

from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.utils.processes import this_process
from tests.support.axe import serious_findings
from tests.support.opening import copy_of_shipped, written
from tests.support.own import flowers
from tests.support.served import PATIENCE, open_page, serving, settle
from tests.support.sweeps import done, started

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
"""
JUMPED = """async () => {
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))
  const name = ({ node }) => node?.closest?.("[data-testid]")?.dataset.testid + ": " + node?.textContent?.slice(0, 40)
  return shifts
    .filter((shift) => !shift.hadRecentInput && shift.startTime > firstContent)
    .map((shift) => [shift.value, shift.sources.map(name).join(", ")])
}"""
MOST_SHIFT = 0.05
# The shift of other pages depends on how fast a view is computed
STEADY = [
    *("Train, idle", "Train, live", "Train, finished", "Data, built-in", "Sweep, form", "Runs", "Runs, one open"),
    *("Experts, One image", "Experts, Classes", "Experts, Each expert", "Predict, Samples"),
]
STREAMLIT = re.compile(
    "Show data|Increment|Decrement|Fullscreen|Open|Download as .*|.*spec"
)  # buttons of its own, which cannot be named


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data of every page")


@pytest.fixture(scope="module")
def ids(tmp_path_factory, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPERTNET_DATA", str(data))
        dataset = flowers(count=3)
    store = RunStore(tmp_path_factory.mktemp("every page") / "runs")
    live = written(store, "Live")
    live.write_status(live.status().changed(process=this_process(), state="running", activity="Training", epochs=9))
    RunQueue(store.root).add(live.id)
    RunQueue(store.root).take(live.id)
    finished = copy_of_shipped(store, "Digits")
    shutil.copy(finished.path / "metrics.jsonl", live.path)
    shutil.copytree(finished.path, finished.path.with_name("20261124-123318-0001"))  # to compare with
    return {
        "live": live.id,
        "finished": finished.id,
        "flowers": dataset,
        "sweep": done(started(store)).id,
        "folder": store.root.parent,
    }


@pytest.fixture(scope="module")
def server(ids, data):
    with serving(ids["folder"], data) as url:
        yield url


@pytest.fixture(scope="module")
def window(chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(PATIENCE)
    context.add_init_script(RECORD)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module", params=VIEWS)
def page(request, window, server, ids):
    """Return a page that has just been drawn."""
    open_page(window, f"{server}/{VIEWS[request.param].format(**ids)}")
    if request.param in ("Predict, Draw", "Predict, Upload"):
        window.get_by_role("radio", name=request.param.split()[-1]).click()
        settle(window.get_by_text(re.compile("^(Draw one of the classes|Invert)")))
    expect(window.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(window.locator("[data-testid=stVegaLiteChart]:not(:has(.marks))")).to_have_count(0)
    if request.param.startswith(("Data", "Evaluate", "Experts")):  # computes some views first
        expect(window.get_by_role("progressbar")).to_have_count(0)
    return window


@pytest.mark.parametrize("page", STEADY, indirect=True)
def test_nothing_jumps_after_the_first_content(page):
    jumps = page.evaluate(JUMPED)
    assert sum(value for value, _ in jumps) < MOST_SHIFT, jumps


def test_axe_finds_nothing_serious_in_light_and_dark(page):
    findings = serious_findings(page)
    assert not findings, "\n".join(findings)


def test_no_two_buttons_have_the_same_name(page):
    names = Counter(re.findall(r'- button "(.+?)"', page.get_by_test_id("stMain").aria_snapshot()))
    assert [name for name, count in names.items() if count > 1 and not STREAMLIT.fullmatch(name)] == []
