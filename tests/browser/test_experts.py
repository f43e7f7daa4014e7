"""The Experts page in a browser: the verdict, the image, the answer and the heat map are in the first screen."""

import re

import pytest
from playwright.sync_api import expect

from expertnet.store.run_store import RunStore
from tests.support.opening import copy_of_shipped
from tests.support.served import serving, settle


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return copy_of_shipped(RunStore(tmp_path_factory.mktemp("experts") / "runs"), "Digits")


@pytest.fixture(scope="module")
def server(run, shared_data):
    with serving(run.path.parents[1], shared_data) as url:
        yield url


def test_the_verdict_the_image_and_its_heat_map_are_in_the_first_screen(tab, run):
    page = tab("experts", run=run.id)
    page.set_viewport_size({"width": 1280, "height": 720})
    image = page.get_by_role("img", name=re.compile("^Test image 1: class"))
    settle(image)
    heat_map = page.locator("[aria-label*='Routing weights of one image']").first
    for shown in (page.get_by_text("Per-image routing makes"), image, page.get_by_text(re.compile("^Answer: "))):
        expect(shown).to_be_in_viewport(ratio=1)
    expect(heat_map).to_be_in_viewport(ratio=1)
    page.set_viewport_size({"width": 390, "height": 844})
    for shown in (page.get_by_text("Per-image routing makes"), image, page.get_by_text(re.compile("^Answer: "))):
        expect(shown).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Pick at random").press("Enter")
    expect(image.or_(page.get_by_role("img", name=re.compile("^Test image")))).to_have_count(1)


def test_the_selected_view_is_written_in_the_text_color_which_has_more_contrast(tab, run):
    page = tab("experts", run=run.id)
    color = "element => getComputedStyle(element.querySelector('p') ?? element).color"
    selected, other = (page.get_by_role("radio", name=name, exact=True) for name in ("One image", "Classes"))
    assert selected.get_attribute("aria-checked") == "true"
    assert selected.evaluate(color) == other.evaluate(color)


def test_what_if_names_every_button_by_its_expert_and_block(tab, run):
    page = tab("experts", run=run.id, view="What if")
    for expert in (1, 2, 3):
        for label in (f"Switch off expert {expert} of block 4", f"Use expert {expert} of block 4 alone"):
            expect(page.get_by_role("button", name=label, exact=True)).to_have_count(1)
