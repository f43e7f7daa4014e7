"""The keyboard alone leads from arrival to a classified drawing; what changes is said, and the focus stays on the page."""

import re

from playwright.sync_api import expect

from tests.support.served import settle

SHORT = {"preset": "quick", "dataset": "digits", "training.epochs": 2, "model.channels": 16}
MOST = 80  # presses of Tab


def tab_to(element):
    """Press Tab until an element has the focus."""
    expect(element).to_be_visible()
    for _ in range(MOST):
        if element.evaluate("element => element.matches(':focus')"):
            return
        element.page.keyboard.press("Tab")
    raise AssertionError(f"{MOST} presses of Tab do not lead to {element}")


def said(page):
    return page.get_by_role("status").filter(has_text="Training")


def test_the_keyboard_alone_leads_from_arrival_to_a_classified_drawing(tab):
    page = tab("", **SHORT)
    keyboard, heading = page.keyboard, page.get_by_role("heading", level=2)
    expect(said(page)).to_have_count(0)
    tab_to(page.get_by_role("button", name="Start training"))
    keyboard.press("Enter")
    try_it = page.get_by_role("link", name="Try it")
    settle(try_it)
    expect(said(page)).to_have_text(re.compile("^Training finished: "))
    expect(heading).to_be_focused()  # Start has vanished
    tab_to(try_it)
    keyboard.press("Enter")
    samples, draw = (page.get_by_role("radio", name=name) for name in ("Samples", "Draw"))
    settle(samples)
    expect(heading).to_be_focused()
    tab_to(samples)
    keyboard.press("ArrowRight")
    expect(draw).to_be_focused()
    keyboard.press("Space")
    canvas, answer = page.get_by_role("application", name="Canvas"), page.get_by_role("heading", name="Answer: ")
    settle(canvas)
    expect(answer).to_have_count(0)
    tab_to(canvas)
    for key in (*["ArrowUp"] * 6, "Space", *["ArrowDown"] * 12):
        keyboard.press(key)
    expect(answer).to_have_count(0)  # the pen is still down
    keyboard.press("Space")
    expect(answer).to_be_visible()
    expect(canvas).to_be_focused()
    tab_to(page.get_by_role("button", name="Clear drawing"))
    keyboard.press("Enter")
    expect(answer).to_have_count(0)


def test_after_stop_the_focus_is_on_the_heading_and_the_end_is_said(tab):
    page = tab("train", **SHORT | {"run": "none", "training.epochs": 500})
    page.get_by_role("button", name="Start training").click()
    page.get_by_text(re.compile("running · epoch")).wait_for()
    expect(said(page)).to_have_text(re.compile("^Training started: "))
    stop = page.get_by_role("button", name="Stop", exact=True)
    stop.focus()
    stop.press("Enter")
    settle(page.get_by_role("button", name=re.compile("Resume after epoch|Start again")))
    expect(page.get_by_role("heading", level=2)).to_be_focused()
    expect(said(page)).to_have_text(re.compile("^Training stopped: "))
