"""Measure how soon a press is answered, that is, how soon something changes on the screen: python -m benchmarks.presses [--times 5]

Presses one thing after another in Chromium, each on a page that was just opened, and prints the median and the longest time from
the press to the first change that is painted. What changes in the pressed thing itself, such as its focus, does not count, nor
does a tooltip or the sign that a script runs. The aim is 0.3 seconds.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright

from expertnet.store.run_store import RunStore
from tests.support.served import CHROMIUM, PATIENCE, serving
from tests.support.views import filled, open_view

AIM = 0.3
PRESSES = (  # a view, and the role and name of what is pressed in it
    ("Train, idle", "button", "Queue this run"),
    ("Train, idle", "radio", "report"),
    ("Train, live", "button", "Stop"),
    ("Train, finished", "tab", "Mistakes"),
    ("Train, finished", "button", "New run"),
    ("Data, Images", "radio", "Check"),
    ("Sweep, form", "button", "The report's questions"),
    ("Runs", "button", "More"),
    ("Evaluate, Results", "radio", "Calibration"),
    ("Experts, One image", "radio", "Classes"),
    ("Experts, One image", "button", "Pick at random"),
    ("Predict, Samples", "radio", "Draw"),
)
WATCH = """() => {
window.answered = new Promise((resolve) => {
  const aside = "[data-testid=stStatusWidget], [data-testid*=Tooltip], [role=tooltip], .st-key-announcer"
  const element = (node) => node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement
  const counts = (node, pressed) => {
    const at = element(node)
    return at && !pressed.contains(at) && !at.closest(aside) && !at.querySelector("[data-testid*=Tooltip], [role=tooltip]")
  }
  addEventListener("click", ({ target, timeStamp }) => {
    const pressed = target.closest("button, label, [role=tab]") ?? target
    const watch = new MutationObserver((changes) => {
      const nodes = changes.flatMap(({ target, addedNodes }) => addedNodes.length ? [...addedNodes] : [target])
      if (!nodes.some((node) => counts(node, pressed))) return
      watch.disconnect()
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - timeStamp)))  // once it is painted
    })
    watch.observe(document.body, { childList: true, characterData: true, subtree: true })
  }, { capture: true, once: true })
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
    page.get_by_role(role, name=re.compile(f"{re.escape(name)}$")).click()  # type: ignore[arg-type]
    seconds = float(page.evaluate("answered")) / 1000
    context.close()
    return seconds


def measured(browser: Browser, folder: Path, press: tuple[str, str, str], times: int) -> Iterator[float]:
    """Yield the seconds of several presses, of which the first loads what the others find loaded."""
    folder.mkdir()
    ids = filled(folder, folder / "data")
    with serving(folder, folder / "data") as address:
        for _ in range(times + 1):
            yield answered(browser, address, ids, press)
            RunStore(folder / "runs").get(ids["live"]).forget_stop()


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
