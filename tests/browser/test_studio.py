"""The main tasks in a real browser: train on the digits, watch, look at the routing, classify an upload.

The module is long because the tasks share a server and a trained run, which take longer than most of them.
"""

import io
import re
import zipfile
from functools import partial

import pytest
from PIL import Image
from playwright.sync_api import expect
from sklearn.datasets import load_digits

from expertnet.data.builtin import BUILTIN
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES
from tests.support.opening import copy_of_shipped
from tests.support.served import open_page, press_until, serving, settle
from tests.support.small import until
from tests.support.uploads import archive_of
from tests.support.views import unfold_settings

CHART = "[data-testid=stVegaLiteChart]"
POINTS = ".mark-symbol.role-mark path"  # of a curve


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return RunStore(tmp_path_factory.mktemp("studio") / "runs")


@pytest.fixture(scope="module")
def trained(store):
    """Return a finished run of the preset `quick` on the digits, whose test set has not been routed yet."""
    run = copy_of_shipped(store, "Trained before")
    (run.path / "routing-best.safetensors").unlink()
    return run


@pytest.fixture(scope="module")
def server(store, trained, shared_data):
    with serving(store.root.parent, shared_data) as url:
        yield url


@pytest.fixture(autouse=True)
def no_training_left(store):
    """Stop what a test that failed half-way left in training, so that the others find an idle server."""
    yield
    for run in store.list():
        if run.state in ACTIVE_STATES:
            run.ask_to_stop(discard=True)
            until(lambda run=run: run.state not in ACTIVE_STATES)


def unfold(page):
    """Unfold the settings."""
    unfold_settings(page)
    settle(page.get_by_role("spinbutton", name="Epochs"))


def fill(page, label, value, preset):
    """Type a number into the settings, unfolding them, and wait until the page marks it as different from the preset."""
    if not page.get_by_label(label, exact=True).count():
        unfold(page)
    page.get_by_label(label, exact=True).fill(value)
    page.get_by_label(label, exact=True).press("Enter")
    settle(page.get_by_text(f"preset: {preset}"))


def test_an_empty_store_leads_to_the_first_run(new_page, tmp_path, shared_data):
    with serving(tmp_path, shared_data) as url:
        page = new_page()
        open_page(page, f"{url}/runs")
        expect(page.get_by_text("There are no runs yet")).to_be_visible()
        page.get_by_role("link", name="Go to Train").click()
        expect(page.get_by_role("button", name="Start training")).to_be_visible()


def test_typed_settings_survive_a_visit_to_another_page(tab):
    page = tab("train", run="none")
    fill(page, "Epochs", "7", preset=12)
    page.get_by_role("link", name="Runs").click()
    settle(page.get_by_role("heading", name="Runs", exact=True))
    page.get_by_role("link", name="Train", exact=True).click()
    expect(page.get_by_role("spinbutton", name="● Epochs")).to_have_value("7")


def test_typed_settings_survive_a_reload_and_are_no_steps_back(tab):
    page = tab("runs")
    page.get_by_role("link", name="Train", exact=True).click()
    page.wait_for_url(re.compile(r"train\?run=2"))  # the last run is in view
    last = page.url
    page.get_by_role("button", name="New run").click()
    settle(page.get_by_role("button", name="Start training"))
    fill(page, "Epochs", "7", preset=12)
    fill(page, "Batch size (images)", "32", preset=128)
    page.wait_for_url(re.compile(r"\?run=none&preset=quick&dataset=digits&training.epochs=7&training.batch_size=32$"))
    page.reload()
    settle(page.get_by_text("Settings (2 changed)"))
    unfold(page)
    expect(page.get_by_role("spinbutton", name="● Epochs")).to_have_value("7")
    expect(page.get_by_role("spinbutton", name="● Batch size")).to_have_value("32")
    settle(page.get_by_role("button", name="Start training"))
    page.go_back()
    page.wait_for_url(last)
    settle(page.get_by_role("button", name="New run"))
    page.go_back()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()


def test_a_training_is_followed_to_its_end_in_two_tabs(tab):
    page = tab("train", run="none")
    fill(page, "Channels (feature maps)", "16", preset=32)  # trains faster
    page.get_by_label("Run name (optional)").fill("From the browser")
    page.get_by_text("Details", exact=True).scroll_into_view_if_needed()
    page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, main.scrollHeight)")
    page.get_by_role("button", name="Start training").click()
    settle(page.get_by_role("heading", name="From the browser"))
    expect(page.get_by_role("heading", name="From the browser")).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_in_viewport(ratio=1)
    page.wait_for_url(re.compile("run=2"))
    second = tab("train", run=re.search(r"run=([\w-]+)", page.url)[1])
    expect(second.get_by_role("heading", name="From the browser")).to_be_visible()
    page.reload()  # changes nothing
    for watching in (page, second):
        expect(watching.get_by_role("heading", name="From the browser")).to_be_visible()
        watching.get_by_text("finished · epoch 12 of 12").wait_for(timeout=600_000)
        expect(watching.locator(CHART).first.locator(POINTS)).to_have_count(24)  # training and validation, 12 epochs
    settle(page.get_by_role("link", name="See routing"))
    accuracy = page.locator("[data-testid=stMetric]", has_text="Test accuracy").inner_text()
    assert float(re.search(r"([\d.]+)%", accuracy)[1]) > 90


def test_the_routing_of_a_test_image(tab, trained):
    page = tab("experts", run=trained.id)
    # This toggle appears once the test set has been routed in the background
    settle(page.get_by_text("Difference from average"))
    image = page.get_by_text(re.compile("^Test image .*: class "))
    expect(image).to_have_count(1)
    numbers = page.locator("[aria-label*='Routing weights of one image']").locator("text")
    weights = numbers.filter(has_text=re.compile(r"^[01]\.\d\d$"))
    expect(weights).to_have_count(12)  # four blocks of three experts
    rows = [float(text) for text in weights.all_text_contents()]
    for start in range(0, 12, 3):
        assert sum(rows[start : start + 3]) == pytest.approx(1, abs=0.02)
    expect(image).to_have_text(re.compile("^Test image 1: "))
    page.get_by_role("button", name="Find").click()
    page.get_by_role("spinbutton").fill("2")
    page.get_by_role("spinbutton").press("Enter")
    expect(image).to_have_text(re.compile("^Test image 2: "))


def test_uploads_are_classified_and_a_bad_one_is_named(tab, trained):
    digits = load_digits()
    image = io.BytesIO()
    Image.fromarray((digits.images[0] * 15).astype("uint8")).resize((200, 200)).save(image, "PNG")
    page = tab("predict", run=trained.id)
    page.get_by_role("radio", name="Upload").click()
    page.locator("input[type=file]").wait_for(state="attached")
    page.set_input_files(
        "input[type=file]",
        [
            {"name": "zero.png", "mimeType": "image/png", "buffer": image.getvalue()},
            {"name": "<b>no</b>.png", "mimeType": "image/png", "buffer": b"not an image"},
        ],
    )
    settle(page.get_by_text("The file is not an image in a supported format"))
    expect(page.get_by_text("<b>no</b>.png:")).to_be_visible()
    expect(page.get_by_text(re.compile(rf"^Answer: {digits.target[0]} \([\d.]+%\)$"))).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all probabilities").click()
    table = download.value.path().read_text()
    assert "zero.png" in table and "not an image" in table


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_start_stop_progress_and_verdict_are_in_the_first_screen(tab, trained, width, height):
    page = tab("train", run="none")
    page.set_viewport_size({"width": width, "height": height})
    expect(page.get_by_role("button", name="Start training")).to_be_in_viewport(ratio=1)
    expect(page.get_by_text(re.compile("^120 steps"))).to_be_in_viewport(ratio=1)
    if width == 1280:  # the pinned bar must not cover them
        bar = page.get_by_test_id("stBottom").bounding_box()["y"]
        for sign in (page.get_by_label("Run name"), page.locator("summary", has_text="Settings")):
            box = sign.bounding_box()
            assert box["y"] + box["height"] <= bar
    page.get_by_role("button", name="Start training").click()
    for sign in (page.get_by_role("button", name="Stop", exact=True), page.get_by_text(re.compile("running · epoch"))):
        expect(sign).to_be_in_viewport(ratio=1)
    expect(page.get_by_text("Training loss").first).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="New run")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("button", name=re.compile("Resume after epoch|Start again"))).to_be_in_viewport(ratio=1)
    open_page(page, f"{page.url.partition('?')[0]}?run={trained.id}")
    for sign in (
        page.get_by_text("Recognizes 99.4% of 359 unseen digits; 2 wrong."),
        page.get_by_role("link", name="Try it"),
    ):
        expect(sign).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_the_mistakes_of_a_run_are_one_press_away(tab, trained, width, height):
    page = tab("train", run=trained.id)
    page.set_viewport_size({"width": width, "height": height})
    button = page.get_by_role("button", name="See mistakes")
    expect(button).to_be_in_viewport(ratio=1)
    button.press("Enter")
    expect(page.get_by_role("tab", name="Mistakes")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_text("2 mistakes in 359 test images.")).to_be_in_viewport(ratio=1)  # computed in the background
    expect(page.locator("[aria-label*='Confusion matrix']")).to_be_visible()
    expect(
        page.get_by_role("group", name="Mistakes").get_by_role("button", name=re.compile("^Test image"))
    ).to_have_count(2)
    page.get_by_role("radio", name="Validation images").click()
    expect(page.get_by_text(re.compile(r"in 1\d\d validation images"))).to_be_visible()


def test_back_from_the_image_of_a_mistake_leads_to_the_mistakes(tab, trained):
    page = tab("train", run=trained.id)
    page.get_by_role("button", name="See mistakes").click()
    mistake = page.get_by_role("group", name="Mistakes").get_by_role("button", name=re.compile("^Test image")).first
    settle(mistake)
    expect(page).to_have_url(re.compile("tab=Mistakes"))
    mistake.click()
    settle(page.get_by_role("heading", name="Predict", exact=True))
    expect(page).to_have_url(re.compile("image="))
    page.go_back()
    settle(mistake)
    expect(page.get_by_role("tab", name="Mistakes")).to_have_attribute("aria-selected", "true")
    expect(page).to_have_url(re.compile("tab=Mistakes"))
    expect(page).not_to_have_url(re.compile("image=|part="))
    page.reload()
    settle(mistake)
    expect(page.get_by_role("tab", name="Mistakes")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("link", name="More figures on Evaluate")).to_be_visible()


def test_a_cell_of_the_mistakes_leads_to_its_images(tab, trained):
    page = tab("train", run=trained.id, tab="Mistakes")
    settle(page.get_by_role("group", name="Mistakes"))
    cell = page.locator("[data-testid=stVegaLiteChart] .mark-rect path").first
    press_until(cell.click, partial(page.wait_for_url, re.compile(r"/evaluate\?(?=.*class=\d)(?=.*answer=\d)")))
    settle(
        page.get_by_text(re.compile(r"^\d+ test images?, beginning with those whose label the network doubts most$"))
    )
    page.go_back()
    settle(page.get_by_role("group", name="Mistakes"))
    expect(page.get_by_role("tab", name="Mistakes")).to_have_attribute("aria-selected", "true")
    expect(page).not_to_have_url(re.compile("class=|answer="))


def test_the_menu_of_a_phone_closes_once_a_page_is_chosen(tab):
    page = tab("train", run="none")
    page.set_viewport_size({"width": 390, "height": 844})
    menu = page.get_by_test_id("stExpandSidebarButton")
    menu.click()
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    expect(menu).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("link", name="Runs", exact=True)).not_to_be_in_viewport()


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_datasets_are_cards_for_the_keyboard_too(tab, width, height):
    page = tab("train", run="none")
    page.set_viewport_size({"width": width, "height": height})
    cards = page.get_by_role("group", name="Dataset").get_by_role("button")
    expect(cards).to_have_count(len(BUILTIN) + 1)
    expect(cards.first).to_be_in_viewport(ratio=1)
    expect(cards.first).to_have_attribute("aria-pressed", "true")
    expect(cards.first.locator("img")).to_have_count(1)  # the digits are on this computer
    page.get_by_role("button", name="CIFAR-10", exact=True).press("Enter")
    expect(page.get_by_text("60,000 color photos, 32x32 pixels, 10 classes. Downloads 170 MB.")).to_be_visible()
    page.wait_for_url(re.compile("dataset=cifar10"))
    page.get_by_role("button", name="Your own images").press("Enter")
    expect(page.get_by_text("Upload a folder", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()


def test_an_uploaded_folder_is_trained_on(tab, tmp_path):
    with zipfile.ZipFile(io.BytesIO(archive_of("rose", "tulip"))) as archive:
        archive.extractall(tmp_path / "flowers")
    page = tab("train", run="none")
    page.set_viewport_size({"width": 1280, "height": 720})
    page.get_by_role("button", name="Your own images").click()
    settle(page.get_by_text("Upload a folder", exact=True))
    page.locator("input[type=file][webkitdirectory]").set_input_files(tmp_path / "flowers")
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    confirm = page.get_by_role("button", name="Use 6 uploaded images")
    expect(confirm).to_be_in_viewport(ratio=1)
    confirm.click()
    expect(
        page.get_by_text("6 images in 2 classes: 4 for training and validation, 2 held out for the test.")
    ).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()


def test_the_line_on_other_pages_follows_a_training_and_stops_it(tab):
    page = tab("train", run="none")
    fill(page, "Epochs", "500", preset=12)
    page.get_by_role("button", name="Start training").click()
    page.get_by_text(re.compile("Training · step")).wait_for()  # from here on the time left is known
    page.get_by_role("link", name="Predict", exact=True).click()
    settle(page.get_by_role("heading", name="Predict", exact=True))
    expect(page.get_by_text(re.compile(r"^epoch \d+ of 500 · .* left$"))).to_be_visible()  # numbers come with a tick
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("button", name="Now training")).to_have_count(0)


def test_stopping_shows_in_every_tab_and_keeps_the_run(tab):
    page = tab("train", run="none")
    fill(page, "Epochs", "500", preset=12)
    page.get_by_role("button", name="Start training").click()
    page.get_by_text(re.compile("running · epoch")).wait_for()
    second = tab("train", run="none")  # does not show the run, but offers it
    second.get_by_role("button", name="Now training").click()
    settle(second.get_by_role("button", name="Stop and discard"))  # the line that led here has a button Stop too
    second.get_by_role("button", name="Stop", exact=True).click()
    for watching in (page, second):
        watching.get_by_role("button", name=re.compile("Resume after epoch|Start again")).wait_for()
        expect(watching.get_by_text(re.compile("stopped · epoch"))).to_be_visible()


def test_a_slider_changes_the_probabilities(tab, trained):
    page = tab("experts", run=trained.id)
    page.get_by_role("radio", name="What if").click()
    slider = page.get_by_role("slider", name="Expert 1")
    settle(slider)
    bars = page.locator("[aria-label*='Class probabilities']").first
    expect(bars.locator("text").first).to_be_visible()
    before = bars.locator("text").all_text_contents()
    slider.focus()
    slider.press("End")
    expect(page.get_by_text("Changed blocks:")).to_be_visible()
    expect(page.get_by_role("slider", name="Expert 2")).to_have_value("0")
    expect(bars.locator("text")).not_to_have_text(before)
