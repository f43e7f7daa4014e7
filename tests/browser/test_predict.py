"""The Predict page in a browser: the answer is in the first screen, nothing moves or hides it, and a drawing is classified."""

import re
import threading

import pytest
from playwright.sync_api import expect

from expertnet.inference.mistakes import find_mistakes
from expertnet.inference.novelty import cached_novelty
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import load_own_test_set
from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.utils.processes import this_process
from tests.support.opening import copy_of_shipped, written
from tests.support.predict import png
from tests.support.served import open_page, serving, settle
from tests.support.toolbars import covered
from tests.support.views import RECORD, jumps

SCREENS = [(1280, 720), (390, 844)]
LATE = {  # what the browser loads for an image
    "the component": re.compile("/ImageList[^/]*[.]js$"),
    "the file": re.compile("^[^/]+//[^/]+/media/"),  # not the fonts
}
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
    expect(page.get_by_text(re.compile("The true class of test image .* is 7."))).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("heading", name=re.compile("^Answer: 7"))).to_be_in_viewport(ratio=1)
    labels = bars(page).first.locator("text").filter(has_text=re.compile(r"^\d$"))
    expect(labels.first).to_have_text("7")  # the likeliest class comes first
    expect(sample).to_have_attribute("aria-pressed", "true")
    expect(sample).to_be_focused()
    number = re.search(r"\d+", sample.get_attribute("aria-label"))[0]
    page.get_by_role("link", name="See routing").click()
    settle(page.get_by_text(f'Test image {number}: class "7"'))


@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_nothing_moves_when_the_box_comes_that_says_that_an_image_is_unlike_the_training_images(
    new_page, server, run, screen, tmp_path
):
    answered = load_predictor(run).classify(list(load_own_test_set(run).images))
    unlike = [verdict.unlike for verdict in cached_novelty(run).verdicts(answered)].index(True)
    page, file = new_page(), run.path / "novelty-best.safetensors"
    page.set_viewport_size(dict(zip(("width", "height"), screen, strict=True)))
    page.add_init_script(RECORD)
    kept = file.rename(tmp_path / file.name)
    file.mkdir()  # so that what the page measures meanwhile cannot be kept, and the box comes when the test wants it
    open_page(page, f"{server}/predict?run={run.id}&image={unlike + 1}")
    again = page.get_by_role("button", name="Try again: Learn which images")
    settle(again)
    expect(page.get_by_text("It is not known yet whether this image is unlike")).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart]:not(:has(.marks))")).to_have_count(0)
    before = len(jumps(page))
    file.rmdir()
    kept.rename(file)
    again.dispatch_event("click")  # unlike a press, it excuses no jump
    settle(page.get_by_text("This image looks unlike the training images"))
    expect(again).to_have_count(0)
    assert jumps(page)[before:] == []


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_nothing_moves_when_the_images_come_after_the_rest(new_page, server, run, screen, late):
    page, waiting, come = new_page(), [], threading.Event()
    page.set_viewport_size(dict(zip(("width", "height"), screen, strict=True)))
    page.add_init_script(RECORD)
    page.route(LATE[late], lambda route: route.continue_() if come.is_set() else waiting.append(route))
    with page.expect_request(LATE[late]):
        open_page(page, f"{server}/predict?run={run.id}&image=1")
    settle(page.get_by_role("heading", name=ANSWER))
    page.get_by_role("link", name="See routing").wait_for()
    expect(page.locator("[data-testid=stVegaLiteChart]:not(:has(.marks))")).to_have_count(0)
    before = len(jumps(page))
    come.set()
    for route in waiting:
        route.continue_()
    page.get_by_role("img", name=re.compile("as the network sees it$")).wait_for()
    for image in page.get_by_test_id("stImage").locator("img").all():
        image.evaluate("(image) => image.decode()")
    assert jumps(page)[before:] == []


def test_the_toolbars_of_charts_images_and_the_table_cover_no_text_and_no_control(page):
    page.locator("[data-testid=stVegaLiteChart] .marks").first.wait_for()
    assert covered(page, 7) == []  # of the image, two charts, and the maps of the whole and of three experts
    page.get_by_role("radio", name="Upload").click()
    settle(page.get_by_role("textbox", name="Image from the clipboard"))
    files = [{"name": f"{shade}.png", "mimeType": "image/png", "buffer": png(shade)} for shade in (1, 250)]
    page.locator("input[type=file]").set_input_files(files)
    settle(page.get_by_role("button", name=re.compile("^250.png: ")))
    assert covered(page, 8) == []


def test_the_next_mistake_is_one_key_away(tab, run):
    first, second, *_ = (mistake.place + 1 for mistake in find_mistakes(run, "test").worst)
    page = tab("predict", run=run.id, image=first, part="test")
    following = page.get_by_role("button", name="Next mistake")
    expect(following).to_be_enabled()
    following.press("Enter")
    expect(page.get_by_role("button", name=re.compile(f"^Test image {second}: "))).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(page.get_by_text("The answer is wrong.")).to_be_visible()
    expect(page.get_by_role("button", name="Previous mistake")).to_be_enabled()


@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_the_charts_of_a_mistake_begin_in_the_first_screen(tab, run, screen):
    page = tab("predict", run=run.id, image=find_mistakes(run, "test").worst[0].place + 1, part="test")
    page.set_viewport_size(dict(zip(("width", "height"), screen, strict=True)))
    expect(page.get_by_role("button", name="Next mistake")).to_be_enabled()
    expect(page.get_by_role("button", name="Next mistake")).to_be_in_viewport(ratio=1)
    expect(bars(page).first).to_be_in_viewport(ratio=0.25)


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
