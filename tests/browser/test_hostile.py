"""No script of a name's runs: in classes, a run's name, its notes and error, and the files of uploads, on every page."""

import io
import json
import zipfile

import pytest
from PIL import Image
from playwright.sync_api import expect

from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.training.runner import Stop, run_training
from tests.support.opening import TINY
from tests.support.served import serving, settle

WAIT = 120_000  # milliseconds
HIT = "window.hit=1"
CLASSES = [f"<img src=x onerror={HIT}>", f"<script>{HIT}", f"<svg onload={HIT}>[x](javascript:{HIT})"]
SCRIPT = f"<script>{HIT}</script><img src=x onerror='{HIT}'>[x](javascript:{HIT})<iframe srcdoc='<script>parent.hit=1</script>'>"
FILE = f"<img src=x onerror={HIT}>.png"


def image(shade):
    file = io.BytesIO()
    Image.new("L", (8, 8), shade).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shared_data):
    """A store with a run of images of its own, whose classes have such names; so has all else that can be named."""
    folder = tmp_path_factory.mktemp("hostile")
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for place, name in enumerate(CLASSES):
            for number in range(12):
                archive.writestr(f"{name}/{number}.png", image(80 * place + number))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPERTNET_DATA", str(shared_data))
        settings = build_settings("quick", str(folder / "images.zip"), TINY)
        run = RunStore(folder / "runs").create(settings, "quick")
        run.write_config(run.config() | {"name": SCRIPT})  # past its limit, as a file by another hand may be
        run_training(run, Stop())
    assert run.state == "finished", run.log_tail()
    assert sorted(run.dataset_info().classes) == sorted(CLASSES)
    run.write_status(run.status().changed(error=SCRIPT, device=SCRIPT))
    run.log(SCRIPT)
    (run.path / "notes.json").write_text(json.dumps({"name": SCRIPT, "note": SCRIPT, "tags": [SCRIPT[:40]]}))
    return folder


@pytest.fixture(scope="module")
def server(folder, shared_data):
    with serving(folder, shared_data) as address:
        yield address


@pytest.fixture
def run(folder):
    return RunStore(folder / "runs").list()[0]


def nothing_ran(page):
    settle(page)
    assert page.evaluate("() => window.hit === undefined")
    assert page.locator("[data-testid=stApp] :is(img[src=x], iframe[srcdoc], a[href^=javascript])").count() == 0
    assert page.locator("[data-testid=stException]").count() == 0


def test_train(tab, run):
    page = tab("train", run.id)
    expect(page.get_by_role("heading", name="<script>")).to_be_visible(timeout=WAIT)
    page.locator("[data-testid=stVegaLiteChart]").first.wait_for()
    page.get_by_text("Log", exact=True).click()
    expect(page.get_by_text(SCRIPT).first).to_be_visible(timeout=WAIT)
    nothing_ran(page)


def test_runs(tab):
    page = tab("runs")
    page.locator("[data-testid=stDataFrame]").first.wait_for()
    page.get_by_text("Import a run").click()
    file = {"name": f"{FILE}.zip", "mimeType": "application/zip", "buffer": b"PK"}
    page.set_input_files("input[type=file]", [file])
    expect(page.get_by_role("button", name="Import", exact=True)).to_be_enabled(timeout=WAIT)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("was not imported")).to_be_visible(timeout=WAIT)
    nothing_ran(page)


@pytest.mark.parametrize("view", ["One image", "Classes", "Experts", "What if", "Through training", "Compare"])
def test_experts(tab, run, view):
    page = tab("experts", run.id)
    page.get_by_role("radio", name=view).click()
    expect(page.get_by_role("radio", name=view)).to_be_checked(timeout=WAIT)
    settle(page)
    for chart in page.locator("[data-testid=stVegaLiteChart]").all()[:4]:
        chart.hover()  # its tooltip names classes
    nothing_ran(page)


def test_predict(tab, run):
    page = tab("predict", run.id)
    expect(page.get_by_text("This network knows 3 classes")).to_be_visible(timeout=WAIT)
    files = [("a", image(9)), ("b", b"no image")]
    uploads = [{"name": kind + FILE, "mimeType": "image/png", "buffer": content} for kind, content in files]
    page.set_input_files("input[type=file]", uploads)
    expect(page.get_by_text(f"b{FILE}: The file is not an image")).to_be_visible(timeout=WAIT)
    expect(page.locator("[data-testid=stVegaLiteChart]").first).to_be_visible(timeout=WAIT)
    page.locator("[data-testid=stVegaLiteChart]").first.hover()
    nothing_ran(page)
