"""The Runs page in a real browser: typed text stays text, a deletion can be undone, and the table follows a training."""

import re

import pytest
from playwright.sync_api import expect

from expertnet.store.run_store import RunStore
from expertnet.utils.processes import this_process
from tests.support.opening import written
from tests.support.served import open_page, serving, settle

HOSTILE = "<img src=x onerror=\"document.title='taken over'\"><script>document.title='taken over'</script>"


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def page(new_page, tmp_path, shared_data, store):
    """Return the Runs page of a server with two runs. It is the first page that this server draws."""
    for name in ("first", "second"):
        written(store, name)
    with serving(tmp_path, shared_data) as url:
        page = new_page()
        open_page(page, f"{url}/runs")
        yield page


def cells(page, text):
    """Return the cells of the table with this text."""
    return page.get_by_test_id("stDataFrame").first.locator("canvas [role=gridcell]").filter(has_text=text)


def select_all(page):
    """Click the checkbox in the header of the table, which is drawn on a canvas."""
    page.get_by_test_id("stDataFrame").first.click(position={"x": 16, "y": 17})


def test_typed_text_stays_text_and_a_deletion_can_be_undone(page, store):
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    search = page.get_by_role("searchbox", name="Search").or_(page.get_by_role("textbox", name="Search"))
    search.fill("first")
    settle(page.get_by_text("1 of 2 runs"))
    expect(page).to_have_url(re.compile("q=first"))
    expect(cells(page, "second")).to_have_count(0)
    expect(cells(page, "first")).to_have_count(1)

    select_all(page)
    settle(page.get_by_role("button", name="Edit"))
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("textbox", name="Name", exact=True).fill(f"first {HOSTILE}"[:80])
    page.get_by_role("textbox", name="Tags", exact=True).fill(f"{HOSTILE}"[:40])
    page.get_by_role("textbox", name="Note", exact=True).fill(f"**{HOSTILE}**")
    page.get_by_role("button", name="Save").click()
    settle(page.get_by_test_id("stText").filter(has_text="taken over"))
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    (named,) = [run for run in store.list() if run.notes().note]
    assert named.title == f"first {HOSTILE}"[:80] and named.notes().tags == (HOSTILE[:40],)

    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete this run").click()
    undo = page.get_by_role("button", name="Undo")
    settle(undo)
    expect(page.get_by_text("is in the trash")).to_contain_text("<img src=x")
    assert [run.title for run in store.list()] == ["second"]
    undo.click()
    settle(page.get_by_text("1 of 2 runs"))
    expect(undo).to_have_count(0)
    assert {run.id for run in store.list()} >= {named.id} and len(store.list()) == 2

    assert page.locator("main img[src=x], [data-testid=stApp] script").count() == 0
    assert page.title() != "taken over" and dialogs == []


def test_the_table_follows_a_training_and_keeps_what_you_type(page, store):
    run = written(store, "live")
    status = run.written_status().changed(process=this_process())

    def advance(state, epoch, best):
        run.write_status(status.changed(state=state, epoch=epoch, epochs=9, best_val_accuracy=best))

    advance("running", 1, 0.25)
    page.reload()
    settle(page.get_by_text(re.compile("^3 runs")))
    expect(cells(page, "1 of 9")).to_have_count(1)
    select_all(page)
    tag = page.get_by_role("button", name="Tag", exact=True)
    settle(tag)
    tag.click()
    page.get_by_role("textbox", name="Tags", exact=True).fill("half typ")
    advance("running", 2, 0.375)
    expect(cells(page, "2 of 9")).to_have_count(1)
    expect(cells(page, "37.5")).to_have_count(1)
    advance("running", 3, 0.5)
    expect(cells(page, "3 of 9")).to_have_count(1)
    expect(page.get_by_role("textbox", name="Tags", exact=True)).to_have_value("half typ")
    expect(page.get_by_text("3 runs selected")).to_be_visible()
    expect(page.get_by_text("Active and included runs cannot be deleted: “live”")).to_be_visible()
    advance("finished", 4, 0.5)
    expect(cells(page, "✓ finished")).to_have_count(3)
    expect(page.get_by_text("runs cannot be deleted")).to_have_count(0)
