"""From a folder of images to a better network: drop, check, split, train, see the mistakes, relabel, train again, compare.

The connection is lost while the images are uploaded.
"""

import random
import re
from functools import partial

from PIL import Image
from playwright.sync_api import expect

from tests.support.photos import encoded, write
from tests.support.served import open_page, press_until, serving, settle

DIFFERENCE = (
    r"^(The (first|second) network is better by|These images do not show which network is better: the difference is) "
    r"(under )?[+-]?\d+\.\d points \(95%: [+-]\d+\.\d to [+-]\d+\.\d\)\. "
    r"Of \d+ test images?, only the first is right on \d+, and only the second on \d+\. On \d+, both are wrong in different ways\.$"
)
COLORS = {"blue": (40, 60, 220), "green": (40, 200, 70), "red": (220, 50, 40)}


def picture(color, seed):
    """An image with spots of a color, which no other one looks like."""
    draw = random.Random(seed)
    image = Image.new("RGB", (48, 48), (128, 128, 128))
    for _ in range(12):
        x, y = draw.randrange(40), draw.randrange(40)
        image.paste(COLORS[color], (x, y, x + draw.randrange(4, 16), y + draw.randrange(4, 16)))
    return encoded(image)


def folder(tmp_path):
    """Ten images of each color, of which one red one is there twice and a blue one is called red, and a text."""
    files = {
        f"{color}/{number}.png": picture(color, 100 * place + number)
        for place, color in enumerate(COLORS)
        for number in range(10)
    }
    files |= {"red/copy.png": files["red/3.png"] + b"\0", "red/odd.png": picture("blue", 999), "red/notes.txt": b"red"}
    return write(tmp_path / "drop", files)


def drop(zone, path):
    """Drag a folder onto an element, and drop it there."""
    zone.scroll_into_view_if_needed()
    box = zone.bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    session = zone.page.context.new_cdp_session(zone.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})


def train(page, url, version):
    """Train shortly on the dataset that the Data page shows, and return the id of the run."""
    page.get_by_role("button", name="Train on it").click()
    page.wait_for_url(re.compile(f"dataset=spots(@|%40){version}"))
    settings = "training.epochs=2&training.batch_size=8&model.channels=8&data.image_size=16"
    open_page(page, f"{url}/train?run=none&preset=quick&dataset=spots%40{version}&{settings}")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url(re.compile("run=2"))
    expect(page.get_by_text("finished · epoch 2 of 2")).to_be_visible(timeout=600_000)
    return re.search(r"run=([\w-]+)", page.url)[1]


def test_from_a_folder_to_a_better_network(new_page, tmp_path):
    with serving(tmp_path, tmp_path / "data") as url:
        page = new_page()
        open_page(page, f"{url}/data")
        page.get_by_role("button", name="New dataset").click()
        page.get_by_label("Name").fill("Spots")
        page.get_by_role("button", name="Create").click()
        page.get_by_role("radio", name="Folder or archive").click()
        settle(page.get_by_text("Drop a folder of class folders"))
        expect(page.get_by_role("button", name="Choose a folder of class folders")).to_be_visible()
        page.route(
            "**/upload/spots/*", lambda route: route.abort() if route.request.method == "POST" else route.continue_()
        )
        drop(page.locator(".zone"), folder(tmp_path))
        expect(page.get_by_text("The connection is lost. The upload continues when it is back.")).to_be_visible()
        page.unroute("**/upload/spots/*")
        expect(
            page.get_by_text(re.compile(r"^32 images added\. 1 file could not be added\..*notes\.txt"))
        ).to_be_visible()

        page.get_by_role("radio", name="Check").click()
        page.get_by_role("button", name="Remove 1 copy").click()
        expect(page.get_by_text("Version 2 was checked.")).to_be_visible()
        expect(page.get_by_text("31 images in 3 classes")).to_be_visible()
        page.get_by_role("radio", name="Split").click()
        page.get_by_role("button", name="Split again").click()
        expect(page.get_by_text("Every run uses these sets.")).to_be_visible()
        first = train(page, url, version=4)

        open_page(page, f"{url}/evaluate?run={first}&images=Test+images")
        cell = page.locator("[data-testid=stVegaLiteChart] .mark-rect path:not([aria-label$='images: 0'])").first
        press_until(cell.click, partial(page.wait_for_url, re.compile(r"(?=.*[?&]class=\w+)(?=.*[?&]answer=\w+)")))
        settle(
            page.get_by_text(
                re.compile(r"^\d+ test images?, beginning with those whose label the network doubts most$")
            )
        )
        images = page.get_by_role("group", name="Images").get_by_role("button")
        expect(images.first).to_have_attribute("aria-pressed", "true")
        page.get_by_role("button", name="Change the label").click()
        page.get_by_role("button", name="Move to this class").click()
        expect(page.get_by_text(re.compile("1 image moved from “.*” to “.*”: Spots, version 5"))).to_be_visible()
        page.get_by_role("link", name="Train on it on the Data page").click()
        settle(page.get_by_role("heading", name="Data", exact=True))
        second = train(page, url, version=5)

        open_page(page, f"{url}/evaluate?run={second}&images=Test+images&view=compare&with={first}")
        expect(page.get_by_text(re.compile("^First: .* Second: "))).to_be_visible()
        difference = page.get_by_text(re.compile(DIFFERENCE))
        expect(difference).to_be_visible()
        with page.expect_download() as report:
            page.get_by_role("button", name="Report").click()
        assert f"<p>{difference.inner_text()}</p>" in report.value.path().read_text()
