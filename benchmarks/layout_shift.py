"""Measure how far each view moves after its first content, in a wide window and on a phone: python -m benchmarks.layout_shift

Prints the cumulative layout shift (web.dev/cls) of the first visit, which computes what is not there yet, and of the second, and
what moved the most. The aim is under 0.05.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize, expect, sync_playwright

from tests.support.served import CHROMIUM, PATIENCE, serving
from tests.support.views import MOST_SHIFT, RECORD, VIEWS, filled, jumps, open_view

WIDE, PHONE = ViewportSize(width=1280, height=720), ViewportSize(width=390, height=844)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("views", nargs="*", help=f"by default all: {'; '.join(VIEWS)}")
    views = parser.parse_args().views or list(VIEWS)
    if CHROMIUM is None:
        sys.exit("Measuring the pages needs Chromium. On Debian: apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        ids = filled(folder, folder / "data")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        print(f"{'View':<28} {'Window':>6} {'First':>7} {'Second':>7}  Moved the most", flush=True)
        for window in (WIDE, PHONE):
            with serving(folder, folder / "data") as address:  # a new server, which has computed nothing
                for view in views:
                    measured = []
                    for _ in range(2):
                        context = browser.new_context(viewport=window)
                        context.set_default_timeout(PATIENCE)
                        context.add_init_script(RECORD)
                        page = context.new_page()
                        open_view(page, address, view, ids)
                        measured.append(jumps(page))
                        context.close()
                    first, second = (sum(value for value, _ in found) for found in measured)
                    worst = max((each for found in measured for each in found), default=(0.0, ""))
                    mark = "  <- over the aim" if max(first, second) >= MOST_SHIFT else ""
                    print(
                        f"{view:<28} {window['width']:>6} {first:>7.3f} {second:>7.3f}  {worst[1][:90]}{mark}",
                        flush=True,
                    )
        browser.close()


if __name__ == "__main__":
    main()
