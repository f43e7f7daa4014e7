"""The Predict page in a browser: the answer is in the first screen, and a drawing is classified."""

import re

import pytest
from playwright.sync_api import expect

from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.utils.processes import this_process
from tests.support.opening import copy_of_shipped, written
from tests.support.predict import png
from tests.support.served import serving, settle

SCREENS = [(1280, 720), (390, 844)]
ANSWER = re.compile(r"^Answer: \d \([\d.]+%\)$")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return copy_of_shipped(RunStore(tmp_path_factory.mktemp("predict") / "runs"), "Digits")


@pytest.fixture(scope="module")
def server(run, shared_data):
    with serving(run.path.parents[1], shared_data) as url:
        yield url


@pytest.fixture(params=SCREENS, ids=str)
def page(request, tab, run):
    page = tab("predict", run=run.id)
    width, height = request.param
    page.set_viewport_size({"width": width, "height": height})
    return page


def bars(page):
    return page.locator("[aria-label*='Probabilities of the most likely classes']")


def test_the_answer_for_a_chosen_sample_is_in_the_first_screen(page, run):
    answer = page.get_by_role("heading", name=ANSWER)
    expect(answer).to_be_in_viewport(ratio=1)
    expect(bars(page).first).to_be_in_viewport()
    sample = page.get_by_role("button", name=re.compile("^Test image .*: class 7"))
    sample.focus()
    sample.press("Enter")
    expect(page.get_by_text("The image's true class is 7.")).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("heading", name=re.compile("^Answer: 7"))).to_be_in_viewport(ratio=1)
    labels = bars(page).first.locator("text").filter(has_text=re.compile(r"^\d$"))
    expect(labels.first).to_have_text("7")  # the likeliest class comes first
    expect(sample).to_have_attribute("aria-pressed", "true")
    expect(sample).to_be_focused()
    number = re.search(r"\d+", sample.get_attribute("aria-label"))[0]
    page.get_by_role("link", name="See routing").click()
    settle(page.get_by_text(f'Test image {number}: class "7"'))


PASTE = """async (field) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 })
  canvas.getContext("2d").fillRect(28, 8, 8, 48)
  const file = new File([await new Promise((done) => canvas.toBlob(done))], "image.png", { type: "image/png" })
  const clipboardData = new DataTransfer()
  clipboardData.items.add(file)
  field.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }))
}"""


def test_an_image_from_the_clipboard_is_classified_after_an_upload(tab, run):
    page = tab("predict", run=run.id)
    page.get_by_role("radio", name="Upload").click()
    field = page.get_by_role("textbox", name="Image from the clipboard")
    settle(field)
    page.locator("input[type=file]").set_input_files({"name": "gray.png", "mimeType": "image/png", "buffer": png(99)})
    answered = page.get_by_test_id("stCaptionContainer").get_by_text("gray.png", exact=True)
    expect(answered).to_be_visible()
    field.evaluate(PASTE)
    expect(page.get_by_role("heading", name=ANSWER)).to_be_visible()
    expect(page.get_by_text("Paste another image to replace this one.")).to_be_visible()
    tiles = page.get_by_role("group", name="Images", exact=True)
    chosen = tiles.locator("[aria-pressed=true]")
    expect(chosen).to_have_attribute("aria-label", re.compile("^pasted: "))
    tiles.get_by_role("button", name=re.compile("^gray.png: ")).click()
    expect(chosen).to_have_attribute("aria-label", re.compile("^gray.png: "))
    expect(answered).to_be_visible()
    expect(page.get_by_role("button", name="Add to class …")).to_be_visible()


def test_a_drawing_is_classified_and_cleared(page):
    page.get_by_role("radio", name="Draw").click()
    canvas = page.get_by_role("application", name="Canvas")
    expect(canvas).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("heading", name=ANSWER)).to_have_count(0)
    box = canvas.bounding_box()
    seven = ((0.25, 0.12), (0.72, 0.12), (0.4, 0.9))
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in seven]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()
    expect(page.get_by_role("heading", name=re.compile(r"^Answer: 7 "))).to_be_in_viewport(ratio=1)
    expect(canvas).to_be_in_viewport(ratio=1)
    expect(page.get_by_text("Drawing, cropped and reduced to 8 x 8 pixels, like Digits")).to_be_visible()
    page.get_by_role("button", name="Clear drawing").click()
    expect(page.get_by_role("heading", name=ANSWER)).to_have_count(0)
    expect(page.get_by_text("Draw one of the classes")).to_be_visible()


def test_a_drawing_stays_and_the_pen_stays_down_when_the_line_on_a_training_goes(tab, run):
    store = RunStore(run.path.parent)
    live = written(store, "Live, of a name that is longer than a phone")
    status = live.status()
    live.write_status(status.changed(process=this_process(), state="running"))
    queue = RunQueue(store.root)
    queue.add(live.id)
    queue.take(live.id)
    page = tab("predict", run=run.id)
    strip = page.get_by_role("button", name="Now training: Live")
    expect(strip).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_in_viewport()
    page.set_viewport_size({"width": 1280, "height": 720})
    page.get_by_role("radio", name="Draw").click()
    canvas = page.get_by_role("application", name="Canvas")
    canvas.press("Space")
    live.write_status(status)
    queue.done(live.id)
    expect(strip).to_have_count(0)
    for key in (*["ArrowDown"] * 6, "Space"):
        page.keyboard.press(key)
    expect(page.get_by_role("heading", name=ANSWER)).to_be_visible()
    height = """canvas => {
        const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
        return [...Array(height).keys()].filter((y) => data[4 * (y * width + width / 2)] > 127).length
    }"""
    assert canvas.evaluate(height) > 84  # pixels: six steps of 14 and the pen
