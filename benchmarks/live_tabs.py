"""Measure how much open pages slow down the training they show: python -m benchmarks.live_tabs [--tabs 5] [--repeats 5]

Trains on the digits inside the app, alternately with no tab and with N tabs open, and prints the median images per second
of the completed epochs of both. The browser runs on the same machine, so its own work is part of the cost. With
--minutes M the tabs stay open for that time instead, and the growth of the server's memory is printed. Needs Chromium.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import linear_regression, median

import psutil
from playwright.sync_api import sync_playwright

from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from tests.support.served import CHROMIUM, open_page, serving

EPOCHS = 4  # measured in each turn


def speeds(run: Run) -> list[float]:
    """Return the images per second of the next EPOCHS epochs that begin after this call."""
    first = len(run.metrics()) + 1
    while len(run.metrics()) < first + EPOCHS:
        if run.state not in ("running", "queued"):
            sys.exit(f"the training ended early: {run.state}")
        time.sleep(0.2)
    return [line["images_per_second"] or 0.0 for line in run.metrics()[first : first + EPOCHS]]


def memory_slope(minutes: float) -> tuple[float, float]:
    """Return the server's resident memory at the end, in MiB, and its growth in MiB per minute.

    The growth is that of the second half, because in the first the tabs are opened and everything is loaded.
    """
    server = next(child for child in psutil.Process().children() if "streamlit" in child.cmdline())
    times, sizes = [], []
    started = time.monotonic()
    while (passed := time.monotonic() - started) < minutes * 60:
        times.append(passed / 60)
        sizes.append(server.memory_info().rss / 2**20)
        time.sleep(5)
    half = len(times) // 2
    return sizes[-1], linear_regression(times[half:], sizes[half:]).slope


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tabs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=0, help="measure the memory for this time instead")
    options = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("Chromium was not found; on Debian: apt-get install chromium")
    watched: list[float] = []
    alone: list[float] = []
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        with serving(folder, folder / "data") as address:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            open_page(page, address)
            page.locator("summary", has_text="Settings").click()
            page.get_by_label("Epochs", exact=True).fill("10000")
            page.get_by_label("Epochs", exact=True).press("Enter")
            page.get_by_role("button", name="Start training").click()
            page.get_by_text("running · epoch 2").wait_for(timeout=600_000)
            page.close()
            run = RunStore(folder / "runs").list()[0]
            if options.minutes:
                for _ in range(options.tabs):
                    browser.new_page().goto(f"{address}/?run={run.id}", wait_until="commit", timeout=600_000)
                size, slope = memory_slope(options.minutes)
                print(
                    f"{options.tabs} tabs for {options.minutes:g} minutes: the server uses {size:.0f} MiB, {slope:+.2f} MiB per "
                    f"minute over the second half; the run is {run.state} at epoch {len(run.metrics())}"
                )
                return
            for _ in range(options.repeats):
                alone += speeds(run)
                tabs = [browser.new_page() for _ in range(options.tabs)]
                for tab in tabs:
                    tab.goto(f"{address}/?run={run.id}", timeout=600_000)
                watched += speeds(run)
                for tab in tabs:
                    tab.close()
            browser.close()
    cost = 1 - median(watched) / median(alone)
    print(
        f"digits, preset quick: {median(alone):.0f} images/s without tabs, {median(watched):.0f} with {options.tabs} tabs open; "
        f"the tabs cost {cost:.1%} ({len(alone)} epochs each, {options.repeats} turns)"
    )


if __name__ == "__main__":
    main()
