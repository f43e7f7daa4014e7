"""Measure how soon a press is answered, that is, how soon something changes on the screen: python -m benchmarks.presses [--times 5]

Presses one thing after another in Chromium, each on a page that was just opened (a slider by its arrow key), and prints the median
and the longest time from the press to the first change that is painted. What changes in the pressed thing itself, such as its
focus, does not count, nor does a tooltip or the sign that a script runs. The aim is 0.3 seconds.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from expertnet.errors import RunError
from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from tests.support.served import CHROMIUM, PATIENCE, serving
from tests.support.small import until
from tests.support.views import filled, open_view

AIM = 0.3
START = "Start training"  # while no run trains; otherwise, one does
NAME = "the name of a run"  # in the table, which is drawn on a canvas
PRESSES = (  # a view, and the role and name of what is pressed in it
    ("Train, idle", "button", START),
    ("Train, idle", "button", "Queue this run"),
    ("Train, idle", "radio", "report"),
    ("Train, live", "button", "Stop"),
    ("Train, finished", "tab", "Mistakes"),
    ("Train, finished", "button", "New run"),
    ("Data, Images", "radio", "Check"),
    ("Sweep, form", "button", "The report's questions"),
    ("Runs", "button", "More"),
    ("Runs", "cell", NAME),
    ("Evaluate, Results", "radio", "Calibration"),
    ("Experts, One image", "radio", "Classes"),
    ("Experts, One image", "button", "Pick at random"),
    ("Experts, What if", "slider", "Expert 1"),
    ("Predict, Samples", "radio", "Draw"),
    ("Predict, Samples", "button", "class 7"),
    ("Predict, Samples", "button", "Stop"),  # in the line about the training
)
WATCH = """() => {
window.answered = new Promise((resolve) => {
  const aside = "[data-testid=stStatusWidget], [data-testid*=Tooltip], [role=tooltip], .st-key-announcer"
  const element = (node) => node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement
  const counts = (node, pressed) => {
    const at = element(node)
    return at && !pressed.contains(at) && !at.closest(aside) && !at.querySelector("[data-testid*=Tooltip], [role=tooltip]")
  }
  const answer = ({ target, timeStamp }) => {
    const pressed = target.closest("button, label, [role=tab], [data-testid=stSlider], [data-testid=stDataFrame]") ?? target
    const watch = new MutationObserver((changes) => {
      const nodes = changes.flatMap(({ target, addedNodes }) => addedNodes.length ? [...addedNodes] : [target])
      if (!nodes.some((node) => counts(node, pressed))) return
      watch.disconnect()
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - timeStamp)))  // once it is painted
    })
    watch.observe(document.body, { childList: true, characterData: true, subtree: true })
  }
  for (const kind of ["click", "keydown"]) addEventListener(kind, answer, { capture: true, once: true })
})
}"""


def answered(browser: Browser, address: str, ids: dict[str, str], press: tuple[str, str, str]) -> float:
    """Open a page in a new window, press something, and return the seconds until something else has changed."""
    view, role, name = press
    context = browser.new_context(viewport=ViewportSize(width=1280, height=720))
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    open_view(page, address, view, ids)
    page.evaluate(WATCH)
    _press(page, role, re.compile(f"{re.escape(name)}$"))
    seconds = float(page.evaluate("answered")) / 1000
    context.close()
    return seconds


def _press(page: Page, role: str, name: re.Pattern[str]) -> None:
    if role == "cell":
        page.get_by_test_id("stDataFrame").first.click(position={"x": 56, "y": 52})
    elif role == "slider":
        page.get_by_role("slider", name=name).press("ArrowRight")
    else:
        page.get_by_role(role, name=name).click()  # type: ignore[arg-type]


def measured(browser: Browser, folder: Path, press: tuple[str, str, str], times: int) -> Iterator[float]:
    """Yield the seconds of several presses, of which the first loads what the others find loaded."""
    folder.mkdir()
    ids, store = filled(folder, folder / "data"), RunStore(folder / "runs")
    live = store.get(ids["live"])
    if press[2] == START:
        live.write_status(live.status().changed(state="stopped"))
        RunQueue(store.root).done(live.id)
    with serving(folder, folder / "data") as address:
        for _ in range(times + 1):
            yield answered(browser, address, ids, press)
            live.forget_stop()
            if press[2] == START:
                until(lambda: _idle(store))


def _idle(store: RunStore) -> bool:
    """Ask all runs to stop, and return whether none trains any longer."""
    active = [run for run in store.list() if run.status().active]
    for run in active:
        with suppress(RunError):  # it may be about to begin, or have ended
            run.ask_to_stop()
    return not active


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    if CHROMIUM is None:
        sys.exit("Measuring the pages needs Chromium. On Debian: apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        print(f"{'View':<20} {'Pressed':<24} {'First':>6} {'Median':>7} {'Longest':>8}", flush=True)
        for number, press in enumerate(PRESSES):
            first, *later = measured(browser, Path(name) / str(number), press, times)
            mark = "  <- over the aim" if max(later) > AIM else ""
            print(
                f"{press[0]:<20} {press[2]:<24} {first:>6.2f} {median(later):>7.2f} {max(later):>8.2f}{mark}",
                flush=True,
            )
        browser.close()


if __name__ == "__main__":
    main()
