"""No page runs a script hidden in a name: of a class, a run, a note, a tag, an error, a log line or an upload."""

import io
import json
import zipfile

import pytest
from PIL import Image
from playwright.sync_api import expect

from expertnet.data.datasets import load_test_split
from expertnet.inference.routing_cache import route_test_set
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from tests.support.opening import TINY
from tests.support.served import serving, settle

HIT = "window.hit=1"
CLASSES = [f"<img src=x onerror={HIT}>", f"<script>{HIT}", f"<svg onload={HIT}>[x](javascript:{HIT})"]
SCRIPT = f"<script>{HIT}</script><img src=x onerror='{HIT}'>[x](javascript:{HIT})<iframe srcdoc='<script>parent.hit=1</script>'>"
CHART = "[data-testid=stVegaLiteChart]"
CHARTED = ("One image", "Classes", "Each expert", "What if", "Through training")  # views of one run without controls
FILE = f"<img src=x onerror={HIT}>.png"


def image(shade):
    file = io.BytesIO()
    Image.new("L", (8, 8), shade).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shared_data):
    """Return a folder with a store of one run in which everything that has a name is named like a script."""
    folder = tmp_path_factory.mktemp("hostile")
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for place, name in enumerate(CLASSES):
            for number in range(12):
                archive.writestr(f"{name}/{number}.png", image(80 * place + number))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPERTNET_DATA", str(shared_data))
        settings = build_settings("quick", str(folder / "images.zip"), TINY)
        run = RunStore(folder / "runs").create(settings, "quick")
        # Longer than the app allows, as in a file that was edited by hand
        run.write_config(run.config() | {"name": SCRIPT})
        run_training(run, Stop())
        assert run.state == "finished", run.log_tail()
        # Cached here, so that no view changes when a computation in the background ends
        route_test_set(run, load_test_split(run.settings().data)[0])
    assert sorted(run.dataset_info().classes) == sorted(CLASSES)
    run.write_status(run.status().changed(error=SCRIPT, device=SCRIPT))
    run.log(SCRIPT)
    (run.path / "notes.json").write_text(json.dumps({"name": SCRIPT, "note": SCRIPT, "tags": [SCRIPT[:40]]}))
    return folder


@pytest.fixture(scope="module")
def server(folder, shared_data):
    with serving(folder, shared_data) as url:
        yield url


@pytest.fixture
def run(folder):
    return RunStore(folder / "runs").list()[0]


def assert_nothing_ran(page):
    assert page.evaluate("() => window.hit === undefined")
    assert page.locator("[data-testid=stApp] :is(img[src=x], iframe[srcdoc], a[href^=javascript])").count() == 0
    assert page.locator("[data-testid=stException]").count() == 0


def test_train(tab, run):
    page = tab("train", run=run.id)
    expect(page.get_by_role("heading", name="<script>")).to_be_visible()
    expect(page.locator(CHART).first).to_be_visible()
    page.get_by_text("Log", exact=True).click()
    expect(page.locator("[data-testid=stCode]").get_by_text(SCRIPT)).to_be_visible()
    page.get_by_role("tab", name="Mistakes").click()
    expect(page.locator("[aria-label*='Confusion matrix']")).to_be_visible()
    settle(page.get_by_text("with the probability of the wrong answer"))
    assert_nothing_ran(page)


def test_runs(tab):
    page = tab("runs")
    expect(page.locator("[data-testid=stDataFrame]").first).to_be_visible()
    page.get_by_role("button", name="More").click()
    page.get_by_text("Import runs").click()
    settle(page.get_by_role("dialog"))
    file = {"name": f"{FILE}.zip", "mimeType": "application/zip", "buffer": b"PK"}
    page.set_input_files("input[type=file]", [file])
    expect(page.get_by_role("button", name="Import", exact=True)).to_be_enabled()
    page.get_by_role("button", name="Import", exact=True).click()
    settle(page.get_by_text("was not imported"))
    assert_nothing_ran(page)


@pytest.mark.parametrize("view", [*CHARTED, "Controls", "Compare"])
def test_experts(tab, run, view):
    page = tab("experts", run=run.id, view=view)
    expect(page.get_by_role("radio", name=view)).to_be_checked()
    if view in CHARTED:
        expect(page.locator(CHART).first).to_be_visible()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.get_by_role("progressbar")).to_have_count(0)  # of what is measured in the background
    for number in range(min(page.locator(CHART).count(), 4)):
        page.locator(CHART).nth(number).hover()  # shows a tooltip with the names of classes
    assert_nothing_ran(page)


def test_predict(tab, run):
    page = tab("predict", run=run.id)
    expect(page.get_by_text("This network knows 3 classes")).to_be_visible()
    page.get_by_role("group", name="Test images").get_by_role("button").last.click()
    page.get_by_role("radio", name="Upload").click()
    page.locator("input[type=file]").wait_for(state="attached")
    files = [("a", image(9)), ("b", b"no image")]
    uploads = [{"name": kind + FILE, "mimeType": "image/png", "buffer": content} for kind, content in files]
    page.set_input_files("input[type=file]", uploads)
    settle(page.get_by_text(f"b{FILE}: The file is not an image"))
    page.locator(CHART).first.hover()
    assert_nothing_ran(page)
