"""The main job in a real browser: train on digits, watch, look at the routing, classify an upload.

The tests of this module share one store and go through it in the order in which they stand.
"""

import io
import re

import pytest
from PIL import Image
from playwright.sync_api import expect
from sklearn.datasets import load_digits

from tests.support.served import settle

POINTS = "[data-testid=stVegaLiteChart] .mark-symbol path"  # what the charts draw


def test_an_empty_store_leads_to_the_first_run(tab):
    page = tab("runs")
    expect(page.get_by_text("There are no runs yet")).to_be_visible()
    page.get_by_role("link", name="Go to Train").click()
    expect(page.get_by_role("button", name="Start training")).to_be_visible()


def test_what_was_typed_survives_another_page(tab):
    page = tab("train")
    page.get_by_label("Epochs", exact=True).fill("7")
    page.get_by_label("Epochs", exact=True).press("Enter")
    expect(page.get_by_text("preset: 12")).to_be_visible()
    page.get_by_role("link", name="Runs").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    page.get_by_role("link", name="Train", exact=True).click()
    expect(page.get_by_role("spinbutton", name="● Epochs")).to_have_value("7")


def test_what_was_typed_survives_a_reload_and_one_step_back_leaves_the_page(tab):
    page = tab("runs")
    page.get_by_role("link", name="Train", exact=True).click()
    for label, value, preset in (("Epochs", "7", "12"), ("Batch size (images)", "32", "128")):
        page.get_by_label(label, exact=True).fill(value)
        page.get_by_label(label, exact=True).press("Enter")
        expect(page.get_by_text(f"preset: {preset}")).to_be_visible()
    page.wait_for_url(re.compile(r"\?preset=quick&dataset=digits&training.epochs=7&training.batch_size=32$"))
    page.reload()
    expect(page.get_by_role("spinbutton", name="● Epochs")).to_have_value("7")
    expect(page.get_by_role("spinbutton", name="● Batch size")).to_have_value("32")
    settle(page)
    page.go_back()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()


def test_training_from_the_page_to_the_end_in_two_tabs(tab):
    page = tab("train")
    channels = page.get_by_role("spinbutton", name="Channels (feature maps)")
    channels.fill("16")  # half the preset's, to be quick
    channels.press("Enter")
    expect(page.get_by_text("preset: 32")).to_be_visible()
    page.get_by_label("Name of the run (optional)").fill("From the browser")
    page.get_by_role("button", name="Start training").click()
    page.get_by_text(re.compile(r"(running|finished) · epoch \d+ of 12")).wait_for()
    page.wait_for_url(re.compile("run=2"))
    second = tab("train", run=page.url.split("run=")[1])
    expect(second.get_by_role("heading", name="From the browser")).to_be_visible()
    page.locator("[data-testid=stVegaLiteChart]").first.wait_for()
    early = page.locator(POINTS).count()
    grows = page.get_by_text(re.compile(r"running · epoch \d of 12")).count()  # epochs are still to come
    page.reload()  # changes nothing
    expect(page.get_by_role("heading", name="From the browser")).to_be_visible()
    for watching in (page, second):
        watching.get_by_text("finished · epoch 12 of 12").wait_for(timeout=600_000)
    expect(page.get_by_role("link", name="See its routing")).to_be_visible()
    page.wait_for_function(
        "([points, early]) => document.querySelectorAll(points).length > early", arg=[POINTS, early - (not grows)]
    )
    shown = page.locator("[data-testid=stMetric]", has_text="Test accuracy").inner_text()
    assert float(re.search(r"([\d.]+) %", shown)[1]) > 90


def test_the_routing_of_a_test_image(tab):
    page = tab("experts")
    mean = page.get_by_text("Difference from average")  # there once the test set has been routed in the background
    expect(mean).to_be_visible()
    settle(page)
    expect(page.get_by_text(re.compile("Test image .*: class "))).to_have_count(1)
    heat = page.locator("[aria-label*='Routing weights of one image']").first
    expect(heat.locator("text", has_text=re.compile(r"^[01]\.\d\d$"))).to_have_count(12)
    rows = [float(text) for text in heat.locator("text").all_text_contents() if re.fullmatch(r"[01]\.\d\d", text)]
    assert len(rows) == 12  # four blocks of three experts
    for start in range(0, 12, 3):
        assert sum(rows[start : start + 3]) == pytest.approx(1, abs=0.02)
    before = page.get_by_text(re.compile("Test image .*: class ")).inner_text()
    page.get_by_role("spinbutton").fill("1" if "image 1:" not in before else "2")
    page.get_by_role("spinbutton").press("Enter")
    expect(page.get_by_text(before)).to_have_count(0)


def test_uploads_are_classified_and_a_bad_one_is_named(tab):
    digits = load_digits()
    image = io.BytesIO()
    Image.fromarray((digits.images[0] * 15).astype("uint8")).resize((200, 200)).save(image, "PNG")
    page = tab("predict")
    page.set_input_files(
        "input[type=file]",
        [
            {"name": "zero.png", "mimeType": "image/png", "buffer": image.getvalue()},
            {"name": "<b>no</b>.png", "mimeType": "image/png", "buffer": b"not an image"},
        ],
    )
    expect(page.get_by_text("The file is not an image in a supported format")).to_be_visible()
    expect(page.get_by_text("<b>no</b>.png:")).to_be_visible()
    expect(page.get_by_text(re.compile(rf"^Answer: {digits.target[0]} \([\d.]+%\)$"))).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all probabilities").click()
    table = download.value.path().read_text()
    assert "zero.png" in table and "not an image" in table


def test_a_stop_shows_at_once_and_keeps_the_run(tab):
    page = tab("train")
    page.get_by_label("Epochs", exact=True).fill("500")
    page.get_by_label("Epochs", exact=True).press("Enter")
    page.get_by_role("button", name="Start training").click()
    page.get_by_text(re.compile("running · epoch")).wait_for()
    second = tab("train", run="none")  # from which the run in training is turned to
    second.get_by_role("button", name="In training now").click()
    second.get_by_role("button", name="Stop, keep the last whole epoch").click()
    for watching in (page, second):
        watching.get_by_role("button", name=re.compile("Go on after epoch|Start it again")).wait_for()
        expect(watching.get_by_text(re.compile("stopped · epoch"))).to_be_visible()


def test_a_slider_moves_the_probabilities(tab):
    page = tab("experts")
    page.get_by_role("radio", name="What if").click()
    bars = page.locator("[aria-label*='Class probabilities']").first
    expect(bars).to_be_visible()
    before = bars.locator("text").all_text_contents()
    slider = page.get_by_role("slider", name="Expert 1")
    slider.focus()
    slider.press("End")
    expect(page.get_by_text("Changed blocks:")).to_be_visible()
    expect(page.get_by_role("slider", name="Expert 2")).to_have_value("0")
    expect(bars.locator("text")).not_to_have_text(before)
