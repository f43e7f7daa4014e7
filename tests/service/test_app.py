"""Answers, refusals and metrics of the service."""

import struct
import threading
import zlib
from dataclasses import replace

import pytest

from expertnet.data.images import load_image
from expertnet.service.intake import FORM, PIXELS
from expertnet.service.limits import Limits
from tests.support.hostile.inputs import images
from tests.support.requests import RAW, Held, in_form, refused
from tests.support.services import form, png


def test_images_get_the_answers_of_the_network(served, client):
    files = [png("red"), png("white", (9, 30)), png("black")]
    expected = served.predictor.classify([load_image(each, 8) for each in files], 2)
    verdicts = served.novelty.verdicts(expected)
    start = client()
    answer = start.post("/predict?top=2", files=in_form(*files)).json()
    for found, expect, verdict in zip(answer["images"], expected, verdicts, strict=True):
        assert found["predictions"] == [
            {"label": each.label, "probability": pytest.approx(each.probability, abs=1e-5)}
            for each in expect.predictions
        ]
        assert found["routing"] == [pytest.approx(row, abs=1e-5) for row in expect.routing.tolist()]
        assert found["unlike"] == pytest.approx(vars(verdict), rel=1e-4)
    assert [found["file"] for found in answer["images"]] == ["0.png", "1.png", "2.png"]
    network = {"run": served.run.id, "checkpoint": "best", "epoch": served.predictor.epoch, "fingerprint": "a digest"}
    assert answer["network"] == network
    alone = start.post("/predict", content=files[1], headers=RAW).json()
    assert alone["images"][0]["file"] is None and len(alone["images"][0]["predictions"]) == 2
    assert alone["images"][0]["predictions"] == [
        {"label": each["label"], "probability": pytest.approx(each["probability"], abs=1e-5)}
        for each in answer["images"][1]["predictions"]
    ]
    assert 0 < alone["milliseconds"]["classify"] < alone["milliseconds"]["total"]


def test_a_calibrated_network_answers_with_both_probabilities(served, client):
    answers = []
    for temperature in (None, 2.0):
        start = client(replace(served, temperature=temperature))
        (image,) = start.post("/predict", content=png(), headers=RAW).json()["images"]
        answers.append(image["predictions"])
    plain, both = answers
    roots = [each["probability"] ** 0.5 for each in plain]
    expected = [
        {**each, "calibrated": pytest.approx(root / sum(roots))} for each, root in zip(plain, roots, strict=True)
    ]
    assert both == expected and len(both) == 2 and "calibrated" not in plain[0]


def test_the_name_of_a_file_in_a_form_may_be_in_any_encoding(client):
    headers = {"Content-Type": f"{FORM}; charset=utf-7; boundary=an-end"}  # in which +2AA- is half of a surrogate pair
    (image,) = client().post("/predict", content=form([("a+2AA-", png())]), headers=headers).json()["images"]
    assert image["file"] == "a"


def test_pixels_get_the_answers_of_their_images(client):
    start, files = client(), [png("red", (8, 8)), png("blue", (8, 8))]
    pixels = b"".join(load_image(each, 8).permute(1, 2, 0).contiguous().numpy().tobytes() for each in files)
    found = start.post("/predict", content=pixels, headers={"Content-Type": PIXELS}).json()["images"]
    expected = start.post("/predict", files=in_form(*files)).json()["images"]
    assert [each["file"] for each in found] == [None, None]
    for one, other in zip(found, expected, strict=True):
        assert one["predictions"] == other["predictions"] and one["routing"] == other["routing"]


def test_an_answer_says_if_it_is_unknown_what_the_training_images_are_like(served, client):
    start = client(replace(served, novelty=None))
    assert start.post("/predict", content=png(), headers=RAW).json()["images"][0]["unlike"] is None
    assert start.get("/about").json()["unlike"] is False


def huge():
    """A PNG that claims 64 million pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 8000, 8000, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return start + struct.pack(">I", 9) + b"IDAT" + bytes(13)


@pytest.mark.parametrize(
    ("request_", "status", "says"),
    [
        ({"content": b"no image", "headers": RAW}, 415, "not an image in a supported format"),
        ({"content": images()[0][:-40], "headers": {"Content-Type": "image/jpeg"}}, 422, "damaged"),
        ({"content": b""}, 422, "empty"),
        ({"content": huge(), "headers": RAW}, 413, "50 million pixels"),
        ({"data": {"images": "text"}}, 415, "application/x-www-form-urlencoded"),
        ({"content": b"x", "headers": {"Content-Type": FORM}}, 400, "boundary"),
        ({"content": b"x--x--", "headers": {"Content-Type": f"{FORM}; boundary=x"}}, 400, "nvalid multipart"),
        ({"files": {"images": (None, "image.png")}}, 422, "With curl, write @ before its path: -F images=@image.png."),
        (
            {
                "content": form([("a", png())]).replace(b'filename="a"', b"filename*=UTF-8''a"),
                "headers": {"Content-Type": f"{FORM}; boundary=an-end"},
            },
            422,
            "A field 'images' has no file. Send each image as a file with a `filename`.",
        ),
        ({"files": {"image": png()}}, 422, "'image' is not expected. Send files, in fields named 'images'"),
        ({"content": form([]), "headers": {"Content-Type": f"{FORM}; boundary=an-end"}}, 422, "no file in the form"),
        (
            {"content": form([("a", png())])[:-8], "headers": {"Content-Type": f"{FORM}; boundary=an-end"}},
            400,
            "breaks off",
        ),
        ({"files": in_form(png(), b"no image")}, 415, r"Image 2 \(1.png\): The file is not an image"),
        ({"files": in_form(*[png()] * 3)}, 413, "at most 2 images"),
        ({"content": bytes(3 * 192), "headers": {"Content-Type": PIXELS}}, 413, "at most 2 images"),
        ({"content": bytes(193), "headers": {"Content-Type": PIXELS}}, 422, "192 bytes. The body has 193, which"),
        ({"content": b"", "headers": {"Content-Type": PIXELS}}, 422, "The body has 0"),
        ({"content": bytes(70_000), "headers": RAW}, 413, "larger than 0 MiB"),
        ({"content": iter([bytes(40_000)] * 2), "headers": RAW}, 413, "larger than 0 MiB"),  # of unknown length
    ],
)
def test_a_bad_request_is_refused_with_the_reason(client, request_, status, says):
    start = client(limits=Limits(images=2, body=2**16))
    assert says.replace("\\", "") in refused(start.post("/predict", **request_), status)
    assert start.post("/predict", content=png(), headers=RAW).status_code == 200


def test_other_paths_and_methods_are_refused_in_json(client):
    start = client()
    says = "There is nothing at '/no\\nplace'. Open / to see all requests."
    assert refused(start.get("/no%0Aplace"), 404) == says
    response = start.get("/predict")
    assert (
        refused(response, 405) == "'/predict' takes no GET requests. Use POST." and response.headers["Allow"] == "POST"
    )


@pytest.mark.parametrize("top", ["0", "1001", "five", "1.5", "", "9" * 400])
def test_a_wrong_number_of_classes_is_named_with_the_range(client, top):
    says = f"top must be a whole number from 1 to 1000. You sent {top[:40]!r}."
    assert refused(client().post("/predict", content=png(), headers=RAW, params={"top": top}), 422) == says


def test_a_failure_inside_is_named_and_the_next_request_is_answered(served, client):
    held = Held(served.predictor)
    held.let_go = None  # which fails
    start = client(replace(served, predictor=held), limits=Limits(requests=1))
    assert "log" in refused(start.post("/predict", content=png(), headers=RAW), 500)
    held.let_go = threading.Event()
    held.let_go.set()
    assert start.post("/predict", content=png(), headers=RAW).status_code == 200


def test_a_key_protects_what_the_network_says(client):
    start = client(key="a secret")
    for path in ("/health", "/ready", "/", "/openapi.json"):
        assert start.get(path).status_code == 200
    for headers in ({}, {"Authorization": "Bearer another"}, {"Authorization": "Basic a secret"}):
        for response in (
            start.get("/about", headers=headers),
            start.get("/metrics", headers=headers),
            start.post("/predict", content=b"", headers=headers),
            start.post("/predict?top=wrong", content=bytes(2**16), headers=headers),
        ):
            assert "API key" in refused(response, 401) and response.headers["WWW-Authenticate"] == "Bearer"
    good = {"Authorization": "Bearer a secret"}
    assert start.get("/about", headers=good).status_code == 200
    assert start.post("/predict", content=png(), headers=good | RAW).status_code == 200
    assert "HTTPBearer" in start.get("/openapi.json").json()["components"]["securitySchemes"]
    assert "a secret" not in start.get("/openapi.json").text


def test_pages_of_other_origins_and_other_host_names_are_kept_out(client):
    start = client(hosts=("127.0.0.1",), origins=("http://mine.example",))
    for path in ("/", "/about", "/health", "/openapi.json"):
        assert "127.0.0.1" in refused(start.get(path, headers={"Host": "evil.example"}), 400)
    for origin, allowed in (("http://mine.example", "http://mine.example"), ("http://evil.example", None)):
        assert start.get("/about", headers={"Origin": origin}).headers.get("Access-Control-Allow-Origin") == allowed


def test_the_page_of_a_run_escapes_its_name_and_runs_only_its_own_script(client):
    page = client().get("/docs")
    assert "&lt;b&gt;mine&lt;/b&gt; *x*" in page.text and "<b>mine" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "http" not in page.text.replace("http-equiv", "")  # it loads nothing from elsewhere
