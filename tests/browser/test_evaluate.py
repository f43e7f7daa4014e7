"""A cell of the confusion matrix opens its images, and a page of them shows any of them with its answer."""

import re

from playwright.sync_api import expect

from expertnet.store.run_store import RunStore
from tests.support.opening import copy_of_shipped
from tests.support.served import open_page, serving


def test_a_cell_opens_its_images_in_the_url_too(new_page, tmp_path, shared_data):
    run = copy_of_shipped(RunStore(tmp_path / "runs"), "Digits")
    with serving(tmp_path, shared_data) as url:
        page = new_page()
        open_page(page, f"{url}/evaluate?run={run.id}&images=Test+images")
        cell = page.locator("[data-testid=stVegaLiteChart] .mark-rect path").first
        cell.click()  # the first row is class 0, and the first column answer 0
        expect(page).to_have_url(re.compile("class=0.*answer=0|answer=0.*class=0"))
        expect(
            page.get_by_text(re.compile(r"^\d+ test images, those with the most disagreement first$"))
        ).to_be_visible()
        images = page.get_by_role("group", name="Images").get_by_role("button")
        second = images.nth(1)
        expect(second).to_have_attribute("aria-label", re.compile(r"^Test image \d+: 0, answer 0$"))
        second.click()
        expect(second).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_text(re.compile("^Answer: 0"))).to_be_visible()
