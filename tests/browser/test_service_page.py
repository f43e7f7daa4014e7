"""The page of the prediction service, with nothing from another server."""

import pytest
from playwright.sync_api import expect

from expertnet.data.images import load_image
from expertnet.inference.predictor import load_predictor
from expertnet.service.app import make_app
from expertnet.service.limits import Limits
from expertnet.service.model import Served
from tests.support.lab import saved_run
from tests.support.services import live, png


@pytest.mark.parametrize(("key", "routed"), [("", (2,)), ("a key", ())])
def test_the_page_of_the_service_classifies_chosen_images(new_page, tmp_path, key, routed):
    run = saved_run(tmp_path, expert_blocks=routed)
    shown = routed or (1, 2, 3)
    served = Served(run, "best", load_predictor(run), None, "a digest")
    (answer,) = served.predictor.classify([load_image(png(), 8)], 2)
    files = [{"name": "<b>.png", "mimeType": "image/png", "buffer": png()}]
    with live(make_app(served, threads=1, limits=Limits(), key=key)) as url:
        page = new_page()
        page.route(lambda address: not address.startswith((url, "blob:")), lambda route: route.abort())
        page.goto(f"{url}/docs")
        if key:
            page.get_by_label("API key").fill(key)
            page.get_by_label("API key").press("Tab")
        expect(page.locator("#about")).to_contain_text(f"Run {run.id}, best weights, epoch {served.predictor.epoch}.")
        expect(page.locator("#operations")).to_contain_text("POST /predict")
        page.get_by_label("Classes to name").fill("2")
        page.get_by_label("Images").set_input_files(files)
        page.get_by_role("button", name="Classify").click()
        expect(page.locator("article li")).to_contain_text(
            [f"{e.probability:.1%} {e.label}" for e in answer.predictions]
        )
        expect(page.locator("article strong")).to_have_text("<b>.png")
        page.get_by_text("Weight of each expert").click()
        expect(page.locator("article tr th:first-child")).to_have_text(["", *(f"Block {block}" for block in shown)])
        weights = [f"{weight:.1%}" for block in shown for weight in answer.routing[block - 1].tolist()]
        expect(page.locator("article td")).to_have_text(weights)
        page.get_by_label("Images").set_input_files([files[0] | {"buffer": b"no image"}])
        page.get_by_role("button", name="Classify").click()
        expect(page.get_by_role("alert")).to_contain_text("Image 1 (<b>.png): The file is not an image")
