"""A network as a web page, opened from the disk without a network connection."""

import re
from base64 import b64encode

import pytest
import torch
from playwright.sync_api import expect

from expertnet.data.images import load_image
from expertnet.errors import RunError
from expertnet.store.notes import Notes
from expertnet.store.run_store import RunStore
from expertnet.transfer.export_onnx import export_onnx, golden_images
from expertnet.transfer.onnx_check import open_session, outputs
from expertnet.transfer.onnx_precision import Precision
from expertnet.transfer.web_page import load_runtime, web_page
from tests.support.opening import finished

TITLE = "{{model}} <b>mine</b>"
CLASSIFY = """async ([model, files]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
  const ort = await import("onnxruntime-web"), { classifyFile } = await import("classify")
  const session = await ort.InferenceSession.create(bytes(model), { executionProviders: ["wasm"] })
  const answers = []
  for (const file of files) answers.push(await classifyFile(session, new Blob([bytes(file)])))
  return answers.map(({ probabilities, routing }) => [probabilities, routing])
}"""


@pytest.fixture(scope="module")
def runtime():
    """onnxruntime-web, from the user's cache if it is there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EXPERTNET_DATA", raising=False)
        try:
            return load_runtime()
        except RunError as error:
            pytest.skip(str(error))


@pytest.mark.parametrize(
    "precision",
    [Precision.FLOAT32, *(pytest.param(each, marks=pytest.mark.long) for each in (Precision.FLOAT16, Precision.INT8))],
)
def test_a_page_classifies_files_as_the_studio_does(new_page, runtime, tmp_path, precision):
    run = finished(RunStore())
    run.annotate(Notes(TITLE))
    exported, files = export_onnx(run, precision=precision), golden_images(run, 8)
    (tmp_path / "page.html").write_bytes(web_page(run, exported, runtime))
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    classes, images = exported.predictor.classes, torch.stack([load_image(content, 8) for content in files.values()])
    if precision is Precision.FLOAT32:
        probabilities, routing = exported.predictor(images)
    else:  # differ from PyTorch's
        probabilities, routing = map(torch.from_numpy, outputs(open_session(exported.content), images))

    page = new_page()
    page.context.set_offline(True)
    page.goto((tmp_path / "page.html").as_uri())
    status = page.get_by_role("status")
    expect(status).to_have_text("Ready.")
    expect(page.get_by_role("heading", level=1)).to_have_text(TITLE)
    for name, shares, weights in list(zip(files, probabilities, routing, strict=True))[-2:]:
        page.get_by_label("choose a file").set_input_files(tmp_path / name)
        said = re.compile(rf"Answer: {classes[shares.argmax()]} \(([\d.]+)%\)")
        expect(status).to_have_text(said)
        assert float(said.fullmatch(status.text_content())[1]) == pytest.approx(100 * shares.max().item(), abs=0.1)
        shown = page.locator("#routing td").last.text_content()
        assert float(shown.rstrip("%")) == pytest.approx(100 * weights[-1, -1].item(), abs=0.1)
    (tmp_path / "text.png").write_text("no image")
    page.get_by_label("choose a file").set_input_files(tmp_path / "text.png")
    expect(status).to_have_text("This file cannot be read as an image. Choose a JPEG, PNG or WebP file.")
    expect(page.locator("#answer")).to_be_hidden()

    model, *contents = (b64encode(each).decode() for each in (exported.content, *files.values()))
    found = page.evaluate(CLASSIFY, [model, contents])
    for (ours, weights), expected, share in zip(found, probabilities, routing, strict=True):
        torch.testing.assert_close(torch.tensor(ours), expected, rtol=0, atol=0.01)  # pixels may differ by 1 of 255
        torch.testing.assert_close(torch.tensor(weights), share, rtol=0, atol=0.01)
