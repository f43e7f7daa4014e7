"""The Runs page in a real browser: the drawer, comparisons by keyboard and on a phone, Back, and a training in the table."""

import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from expertnet.store.run_store import RunStore
from expertnet.utils.processes import this_process
from tests.support.opening import written
from tests.support.served import open_page, press_until, serving, settle

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


def click_name(page, row):
    """Click the name in a row of the table, counted from 0."""
    page.get_by_test_id("stDataFrame").first.click(position={"x": 56, "y": 52 + 35 * row})


def test_typed_text_stays_text_and_a_deletion_can_be_undone(page, store):
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    search = page.get_by_role("searchbox", name="Search").or_(page.get_by_role("textbox", name="Search"))
    search.fill("first")
    settle(page.get_by_text("1 of 2 runs"))
    expect(page).to_have_url(re.compile("q=first"))
    expect(cells(page, "second")).to_have_count(0)
    expect(cells(page, "first")).to_have_count(1)

    click_name(page, 0)
    settle(page.get_by_role("dialog", name="first"))
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
    tag = page.get_by_role("button", name="Tag", exact=True)
    press_until(lambda: select_all(page), tag.wait_for)
    settle(tag)
    tag.click()
    page.get_by_role("textbox", name="Tags", exact=True).fill("half typ")
    advance("running", 2, 0.375)
    expect(cells(page, "37.5")).to_have_count(1)
    advance("running", 3, 0.625)
    expect(cells(page, "62.5")).to_have_count(1)
    expect(page.get_by_role("textbox", name="Tags", exact=True)).to_have_value("half typ")
    expect(page.get_by_role("button", name="Export 3")).to_be_visible()
    expect(page.get_by_text("Active and included runs cannot be deleted: “live”")).to_be_visible()
    advance("finished", 4, 0.625)
    expect(page.get_by_text("runs cannot be deleted")).to_have_count(0)
    page.keyboard.press("Escape")
    press_until(lambda: select_all(page), page.get_by_text(re.compile("^3 runs")).wait_for)  # unticks them
    expect(cells(page, "✓ finished")).to_have_count(3)


# --- several runs, in a server that the tests below share ------------------------------------------------------------

SIZES = {"laptop": (1280, 720), "phone": (390, 844)}
CHART = "[data-testid=stVegaLiteChart]"


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Return runs with an accuracy of 70.0%, 71.0%, and so on."""
    store = RunStore(tmp_path_factory.mktemp("several") / "runs")
    return [written(store, f"run {n}", accuracy=0.7 + n / 100, **{"training.lr": (n + 1) / 1000}) for n in range(6)]


@pytest.fixture(scope="module")
def server(several, shared_data):
    with serving(several[0].path.parents[1], shared_data) as url:
        yield url


@pytest.fixture
def sized(new_page, server):
    """Return a function that opens the Runs page at a size in SIZES: sized("phone", selected=IDS)."""

    def opened(size, **query):
        page = new_page()
        width, height = SIZES[size]
        page.set_viewport_size({"width": width, "height": height})
        open_page(page, f"{server}/runs?{urlencode({'order': 'name'} | query)}")
        return page

    return opened


@pytest.mark.parametrize("size", SIZES)
def test_accuracies_and_curves_are_in_the_first_screen(sized, several, size):
    page = sized(size)
    expect(cells(page, re.compile("^75$"))).to_have_count(1)  # a table has cells only for what it shows
    table = page.get_by_test_id("stDataFrame").first
    expect(table.locator("canvas [role=columnheader]").filter(has_text="Test")).to_have_count(1)
    page = sized(size, selected=f"{several[0].id},{several[3].id}")
    expect(cells(page, re.compile("^75$"))).to_have_count(1)
    table = page.get_by_test_id("stDataFrame").first
    expect(table.locator("canvas [role=columnheader]")).to_have_text(["", "Run", "Validation", "Test"])
    assert table.locator(".dvn-scroller").evaluate("scroller => scroller.scrollWidth <= scroller.clientWidth")
    expect(table.locator("#glide-cell-2-1")).to_have_text("run 3")  # the second row: compared runs come first
    expect(page.locator(CHART).first).to_be_in_viewport()
    if size == "laptop":
        expect(page.get_by_role("heading", name="Settings that differ")).to_be_in_viewport()


def test_runs_are_compared_and_opened_by_keyboard_and_back_undoes_each_step(sized, several):
    page = sized("laptop")
    choice = page.get_by_role("combobox", name="Compared runs")
    one, two = (page.get_by_role("button", name=name, exact=True) for name in ("Delete", "Delete 2"))
    for number, sign in (1, one), (4, two):
        choice.focus()
        page.keyboard.type(f"run {number}")
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")  # closes the list of runs
        settle(sign)
    both = f"selected={several[1].id}%2C{several[4].id}"
    expect(page).to_have_url(re.compile(f"{both}$"))
    page.get_by_role("button", name="Open run").press("Enter")
    page.get_by_role("menuitem", name="run 1").press("Enter")
    drawer = page.get_by_role("dialog", name="run 1")
    settle(drawer)
    expect(page).to_have_url(re.compile(f"{both}&open={several[1].id}$"))

    page.go_back()
    expect(drawer).to_have_count(0)
    expect(two).to_be_visible()
    page.go_back()
    expect(one).to_be_visible()
    page.go_forward()
    expect(two).to_be_visible()
    page.go_back()
    page.go_back()
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)


def test_a_name_opens_its_run_and_escape_closes_it(sized, several):
    page = sized("phone", selected=several[2].id)
    expect(cells(page, "run 5")).to_have_count(1)  # the table is drawn
    click_name(page, 5)
    drawer = page.get_by_role("dialog", name="run 5")
    settle(drawer)
    expect(drawer.locator(CHART)).to_have_count(2)
    expect(drawer.get_by_role("link", name="See training")).to_be_visible()
    page.reload()
    settle(drawer)
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    expect(page).to_have_url(re.compile(f"selected={several[2].id}$"))


def test_the_menu_opens_the_import(sized):
    page = sized("phone")
    page.get_by_role("button", name="More").click()
    page.get_by_text("Import runs").click()
    drawer = page.get_by_role("dialog", name="Import runs")
    settle(drawer)
    expect(drawer.get_by_role("button", name="Import", exact=True)).to_be_disabled()
