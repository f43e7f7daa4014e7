"""The Experts page in a browser: the verdict, the image, the answer and the heat map are in the first screen."""

import re
import shutil

import pytest
from playwright.sync_api import expect

from expertnet.store.run_store import RunStore
from tests.support.opening import SHIPPED_CONTEXTS, SHIPPED_DIGITS, copy_of_shipped
from tests.support.served import serving, settle

SCREENS = [(1280, 720), (390, 844)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The store of a fresh clone."""
    store = RunStore(tmp_path_factory.mktemp("experts") / "runs")
    for included in (SHIPPED_CONTEXTS, SHIPPED_DIGITS):
        shutil.copytree(included, store.root / included.name)
    return store


@pytest.fixture(scope="module")
def run(store):
    run = copy_of_shipped(store, "Digits")
    shutil.copy(run.path / "best.safetensors", run.path / "last.safetensors")
    return run


@pytest.fixture(scope="module")
def server(store, shared_data):
    with serving(store.root.parent, shared_data) as url:
        yield url


def expect_in_first_screen(page):
    for sign in (
        page.get_by_role("img", name=re.compile("^Test image [0-9]+: class")),
        page.locator(".st-key-verdict").get_by_role("paragraph").first,
        page.get_by_text(re.compile("^Answer: ")),
        page.get_by_role("radio", name="One image"),
        page.get_by_role("combobox", name="Run"),
    ):
        expect(sign).to_be_in_viewport(ratio=1)
    # on a phone, the axis and most cells of the heat map are in the first screen
    ratio = 1 if page.viewport_size["width"] > 640 else 0.6
    expect(page.locator("[aria-label*='Routing weights of one image']").first).to_be_in_viewport(ratio=ratio)


@pytest.mark.parametrize("size", SCREENS, ids=str)
def test_the_verdict_the_image_and_its_heat_map_are_in_the_first_screen(tab, run, size):
    page = tab("experts", run=run.id)
    page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    expect(page.get_by_text("per-image routing")).to_be_in_viewport(ratio=1)
    expect_in_first_screen(page)


@pytest.mark.parametrize("size", SCREENS, ids=str)
def test_so_they_are_on_the_first_visit_and_at_each_step_of_the_tour_that_is_about_an_image(tab, size):
    page = tab("experts", run=SHIPPED_CONTEXTS.name)
    page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    expect(page.get_by_text("per-image routing")).to_be_in_viewport(ratio=1)
    expect_in_first_screen(page)
    for label, step in (("Take the tour", "1 of 6."), ("Next", "2 of 6.")):
        page.get_by_role("button", name=label, exact=True).click()
        settle(page.get_by_text(step))
        expect_in_first_screen(page)


@pytest.mark.parametrize("size", SCREENS, ids=str)
def test_the_link_of_the_tour_leads_to_the_section_that_it_names(tab, size):
    page = tab("experts", run=SHIPPED_CONTEXTS.name, tour="4", view="What if")
    page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    heading = page.get_by_role("heading", name="One image", exact=True)
    expect(heading).not_to_be_in_viewport()
    page.get_by_role("link", name="Go to the section “One image”").click()
    expect(heading).to_be_in_viewport()


@pytest.mark.parametrize("size", SCREENS, ids=str)
def test_the_answer_is_in_view_where_an_expert_is_switched_off(tab, run, size):
    page = tab("experts", run=run.id, view="What if")
    page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    for expert in (1, 2, 3):
        page.get_by_role("button", name=f"Switch off expert {expert} of block 4").click()
        expect(page.get_by_role("slider", name=f"Expert {expert}")).to_have_value("0")
        expect(page.get_by_text(re.compile(r"^Answer: .*; before: .*%"))).to_be_in_viewport(ratio=1)
        page.get_by_role("button", name="Reset weights").click()
        expect(page.get_by_text("; before: ")).to_have_count(0)


def test_the_card_leads_to_the_controls_that_come_with_the_network(tab):
    page = tab("experts", run=SHIPPED_CONTEXTS.name)
    page.get_by_role("button", name="See Controls").click()
    expect(page.get_by_text("18 runs of 18 finished.")).to_be_visible()
    page.wait_for_url(re.compile("view=Controls"))


def test_the_run_its_weights_and_the_views_are_in_one_row(tab, run):
    page = tab("experts", run=run.id)
    page.set_viewport_size({"width": 1280, "height": 720})
    header = page.locator(".st-key-header")
    expect(header.get_by_role("radio", name="Compare")).to_be_in_viewport(ratio=1)
    for name in ("Run", "Checkpoint"):
        expect(header.get_by_role("combobox", name=name)).to_be_in_viewport(ratio=1)
    assert header.bounding_box()["height"] < 50


@pytest.mark.parametrize("size", SCREENS, ids=str)
def test_an_image_is_picked_from_the_strip_by_keyboard_and_at_random(tab, run, size):
    page = tab("experts", run=run.id)
    page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    tile = page.get_by_role("group", name="Test images").get_by_role("button", name=re.compile("^Test image 5: class"))
    tile.press("Enter")
    caption = page.get_by_text(re.compile("^Test image 5: class"))
    if size[0] > 640:
        expect(caption).to_be_in_viewport(ratio=1)
    else:
        expect(caption).to_be_visible()
    expect(tile).to_have_attribute("aria-pressed", "true")
    expect(tile).to_be_focused()
    expect(page.locator("[aria-label*='Routing weights of one image']").first).to_be_in_viewport(ratio=0.5)
    page.wait_for_url(re.compile("image=5"))
    page.get_by_role("button", name="Pick at random").press("Enter")
    page.wait_for_url(lambda url: "image=5&" not in url and not url.endswith("image=5"))
    pressed = page.get_by_role("group", name="Test images").locator("[aria-pressed=true]")
    expect(pressed).to_have_count(1)
    expect(pressed).not_to_have_attribute("aria-label", re.compile("^Test image 5: "))


def test_back_leads_to_the_view_before(tab, run):
    page = tab("experts", run=run.id)
    for view, sign in (("Classes", "Mean routing by class"), ("Each expert", "Expert usage")):
        page.get_by_role("radio", name=view, exact=True).click()
        settle(page.get_by_role("heading", name=sign))
    page.go_back()
    expect(page.get_by_role("heading", name="Mean routing by class")).to_be_visible()
    expect(page.get_by_role("radio", name="Classes", exact=True)).to_be_checked()
    page.go_back()
    expect(page.get_by_text(re.compile("^Answer: "))).to_be_visible()
    page.go_forward()
    expect(page.get_by_role("radio", name="Classes", exact=True)).to_be_checked()


@pytest.mark.parametrize("size", SCREENS, ids=str)
def test_a_class_is_highlighted_by_a_click_and_by_keyboard(tab, run, size):
    page = tab("experts", run=run.id, view="Classes")
    page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    picker = page.get_by_role("combobox", name="Highlight a class")
    cells = page.locator("[aria-label*='Mean routing weights of each class'] .mark-rect path")
    expect(cells).to_have_count(30)
    cells.first.click()
    images = page.get_by_text(re.compile("^Images of class . with the largest weights for expert 1 in block 4:"))
    expect(images).to_be_visible()
    points = page.locator("[aria-label*='Routing of 359 test images']")
    expect(points.first).to_have_attribute("aria-label", re.compile("class . highlighted"))
    picker.press("Enter")
    page.keyboard.type("7")
    picker.press("Enter")
    expect(page.get_by_text(re.compile("^Images of class 7 "))).to_be_visible()
    expect(points.first).to_have_attribute("aria-label", re.compile("class 7 highlighted"))
    page.wait_for_url(re.compile("highlight=7"))
    number = page.get_by_role("spinbutton", name="Show image number")
    number.fill("7")
    number.press("Enter")
    expect(page.get_by_role("img", name="Test image 7", exact=True).last).to_be_visible()  # below those of the class
    page.locator("[aria-label*='Routing of 359 test images'] .mark-symbol path").last.click()
    expect(number).not_to_have_value("7")
    expect(page.get_by_role("img", name=f"Test image {number.input_value()}", exact=True).last).to_be_visible()


def test_every_expert_has_one_row_of_controls(tab, run):
    page = tab("experts", run=run.id, view="What if")
    page.set_viewport_size({"width": 1280, "height": 720})
    page.wait_for_function("""() => {
        const rows = [...document.querySelectorAll("[class*='st-key-row-of-expert']")]
        const single = row => row.offsetHeight < 80 && row.querySelectorAll("button").length === 2
        return rows.length === 3 && rows.every(single)
    }""")


def test_the_selected_view_is_written_in_the_text_color_which_has_more_contrast(tab, run):
    page = tab("experts", run=run.id)
    selected, other = (page.get_by_role("radio", name=name, exact=True) for name in ("One image", "Classes"))
    expect(selected).to_be_checked()
    color = other.locator("p").evaluate("element => getComputedStyle(element).color")
    expect(selected.locator("p")).to_have_css("color", color)


def test_what_if_names_every_button_by_its_expert_and_block(tab, run):
    page = tab("experts", run=run.id, view="What if")
    for expert in (1, 2, 3):
        for label in (f"Switch off expert {expert} of block 4", f"Use expert {expert} of block 4 alone"):
            expect(page.get_by_role("button", name=label, exact=True)).to_have_count(1)
