"""Take the README's screenshots and its short film, all of runs on the digits: python -m tools.screenshots [--folder docs/images]"""

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, sync_playwright
from sklearn.datasets import load_digits

from tests.support.served import CHROMIUM, ROOT, open_page, serving

RUNS: dict[str, list[str]] = {
    "Three experts": [],
    "Five experts": ["model.num_experts=5"],
    "SGD": ["training.optimizer=sgd", "training.lr=0.1"],
}
FRAME = (816, 516)  # pixels of the film
SECONDS = 1.6  # that each frame is shown
DIGITS = {"four": 4, "seven": 7}  # index of the image in scikit-learn's digits


def train(folder: Path) -> None:
    for name, settings in RUNS.items():
        assignments = [word for setting in settings for word in ("--set", setting)]
        command = [sys.executable, "-m", "expertnet", "train", "--name", name, *assignments]
        subprocess.run([*command, "--runs-dir", str(folder / "runs")], cwd=ROOT, check=True)


def opened(browser: Browser, address: str, height: int, dark: bool = False) -> Page:
    context = browser.new_context(viewport={"width": 1360, "height": height}, color_scheme="dark" if dark else "light")
    page = context.new_page()
    open_page(page, address)
    return page


def shot(page: Page) -> Image.Image:
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(1500)  # charts fade in
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def measure_routing(page: Page) -> None:
    """Measure whether the network relies on routing, which a slow computer does only if asked to."""
    verdict = page.get_by_text(re.compile("(relies|rely) on per-image routing"))
    button = page.get_by_role("button", name="Measure whether the network relies on routing")
    verdict.or_(button).first.wait_for(timeout=240_000)
    if button.is_visible():
        button.click()
    verdict.wait_for(timeout=600_000)


def save(page: Page, path: Path) -> Image.Image:
    """Save what a page shows, and return it."""
    image = shot(page)
    image.quantize(192, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path)
    return image


def save_film(images: list[Image.Image], path: Path) -> None:
    """Save images of one size as a film that runs for ever."""
    first, *rest = (image.resize(FRAME, Image.Resampling.LANCZOS) for image in images)
    first.save(path, save_all=True, append_images=rest, duration=round(SECONDS * 1000), loop=0, quality=70, method=6)
    print(path)


def digit(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray((load_digits().images[number] * 15).astype("uint8")).resize((256, 256)).save(file, "PNG")
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "images")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        work = Path(name)
        os.environ["EXPERTNET_DATA"] = str(work / "data")
        train(work)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with serving(work, work / "data") as address:
            page = opened(browser, f"{address}/train?run=none", 860)
            film = [shot(page)]
            page.get_by_role("button", name="Start training").click()
            for epoch in (2, 4):
                page.get_by_text(f"running · epoch {epoch} of 12").wait_for(timeout=120_000)
                film.append(shot(page))
            page.get_by_text("running · epoch 7 of 12").wait_for(timeout=120_000)
            film.append(save(page, folder / "train.png"))
            page.get_by_text("finished · epoch 12 of 12").wait_for(timeout=240_000)
            film.append(shot(page))
            measure_routing(opened(browser, f"{address}/experts", 860))
            for view in ("One image", "Classes", "What if"):
                film.append(shot(opened(browser, f"{address}/experts?view={view.replace(' ', '%20')}", 860)))
            page = opened(browser, f"{address}/predict", 860)
            film.append(shot(page))
            save_film(film, folder / "tour.webp")
            page = opened(browser, f"{address}/runs", 900)
            table = page.locator("[data-testid=stDataFrame]").bounding_box()
            assert table is not None
            for row in (1, 2, 3):
                page.mouse.click(table["x"] + 16, table["y"] + 54 + 35 * row)
                page.wait_for_timeout(1000)
            save(page, folder / "runs.png")
            save(opened(browser, f"{address}/experts", 830, dark=True), folder / "experts.png")
            page = opened(browser, f"{address}/predict", 930)
            files = [
                FilePayload(name=f"{name}.png", mimeType="image/png", buffer=digit(n)) for name, n in DIGITS.items()
            ]
            page.get_by_role("radio", name="Upload").click()
            page.locator("input[type=file]").wait_for(state="attached")
            page.set_input_files("input[type=file]", files)
            page.get_by_role("button", name="Download all probabilities").wait_for()
            save(page, folder / "predict.png")
        browser.close()


if __name__ == "__main__":
    main()
