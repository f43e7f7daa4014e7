"""The Runs page in a real browser: what a person types stays text, what is deleted comes back, what trains is followed."""

import re

import pytest
from playwright.sync_api import expect

from expertnet.store.run_store import RunStore
from expertnet.utils.processes import this_process
from tests.support.opening import written
from tests.support.served import serving, settle

HOSTILE = "<img src=x onerror=\"document.title='taken over'\"><script>document.title='taken over'</script>"
WAIT = 120_000  # ms


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def page(browser, tmp_path, shared_data, store):
    """The Runs page of a server of its own with two runs, as the first that is asked for after its start."""
    for name in ("first", "second"):
        written(store, name)
    with serving(tmp_path, shared_data) as address:
        context = browser.new_context(viewport={"width": 1440, "height": 1400})
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.goto(f"{address}/runs")
        settle(page)
        yield page
        context.close()


def tick_all(page):
    """The box in the head of the table."""
    table = page.get_by_test_id("stDataFrame").first
    table.locator("canvas").first.wait_for()
    settle(page)
    table.click(position={"x": 16, "y": 17})


def test_what_is_typed_stays_text_and_what_is_deleted_comes_back(page, store):
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    search = page.get_by_role("searchbox", name="Search").or_(page.get_by_role("textbox", name="Search"))
    search.fill("first")
    expect(page.get_by_text("1 of 2 runs")).to_be_visible(timeout=WAIT)
    expect(page).to_have_url(re.compile("q=first"), timeout=WAIT)

    tick_all(page)
    page.get_by_role("button", name="Name, tags, note").click()
    page.get_by_role("textbox", name="Name", exact=True).fill(f"first {HOSTILE}"[:80])
    page.get_by_role("textbox", name="Tags", exact=True).fill(f"{HOSTILE}"[:40])
    page.get_by_role("textbox", name="Note", exact=True).fill(f"**{HOSTILE}**")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_test_id("stText").filter(has_text="taken over")).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("button", name="Save")).to_have_count(0, timeout=WAIT)  # the form has closed
    settle(page)
    (named,) = [run for run in store.list() if run.notes().note]
    assert named.title == f"first {HOSTILE}"[:80] and named.notes().tags == (HOSTILE[:40],)

    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete this run").click()
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("is in the trash")).to_contain_text("<img src=x", timeout=WAIT)
    assert [run.title for run in store.list()] == ["second"]
    undo.click()
    expect(undo).to_have_count(0, timeout=WAIT)
    expect(page.get_by_text("1 of 2 runs")).to_be_visible(timeout=WAIT)
    settle(page)
    assert {run.id for run in store.list()} >= {named.id} and len(store.list()) == 2

    assert page.locator("main img[src=x], [data-testid=stApp] script").count() == 0
    assert page.title() != "taken over" and dialogs == []


def test_the_table_follows_what_trains_and_disturbs_nobody(page, store):
    run = written(store, "live")
    known = run.written_status().changed(process=this_process())

    def goes_on(state, epoch, best):
        run.write_status(known.changed(state=state, epoch=epoch, epochs=9, best_val_accuracy=best))

    def expect_cells(text, count=1):
        cells = page.get_by_test_id("stDataFrame").first.locator("canvas [role=gridcell]")
        expect(cells.filter(has_text=text)).to_have_count(count, timeout=WAIT)

    goes_on("running", 1, 0.25)
    page.reload()
    settle(page)
    tick_all(page)
    page.get_by_role("button", name="Tag", exact=True).click()
    page.get_by_role("textbox", name="Tags", exact=True).fill("half typ")
    goes_on("running", 2, 0.375)
    expect_cells("2 of 9")
    expect_cells("37.5")
    goes_on("running", 3, 0.5)
    expect_cells("3 of 9")
    expect(page.get_by_role("textbox", name="Tags", exact=True)).to_have_value("half typ", timeout=WAIT)
    expect(page.get_by_text("3 runs are ticked")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("they have not ended: “live”")).to_be_visible(timeout=WAIT)
    goes_on("finished", 4, 0.5)
    expect_cells("✓ finished", 3)
    expect(page.get_by_text("they have not ended")).to_have_count(0, timeout=WAIT)
