"""`expertnet serve-model`, in a process of its own."""

import http.client
import json
import os
import signal
import socket
import subprocess
import urllib.request

import pytest

from expertnet.cli import serve_model
from expertnet.data.images import load_image
from expertnet.inference.predictor import load_predictor
from expertnet.transfer.onnx_graph import fingerprint
from expertnet.utils.home import install_command
from tests.support.command import PROGRAM, command, refused
from tests.support.served import ROOT, answers, free_port
from tests.support.services import png
from tests.support.small import LIMIT, until


def text_at(url):
    with urllib.request.urlopen(url) as response:
        return response.read().decode()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.long
def test_a_network_is_served_until_a_signal_and_requests_inside_are_finished(trained):
    port = free_port()
    process = subprocess.Popen(
        [*PROGRAM, "serve-model", "latest", "--port", str(port)],
        cwd=ROOT,
        env=os.environ | trained.env,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        assert answers(process, f"{url}/ready")
        assert f"Port {port}" in refused(command("serve-model", "latest", "--port", port, **trained.env))
        about = json.loads(text_at(f"{url}/about"))
        predictor = load_predictor(trained.run)
        assert about["network"]["run"] == trained.run.id and about["network"]["fingerprint"] == fingerprint(
            predictor.model
        )
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        content = png()
        connection.putrequest("POST", "/predict?top=2")
        connection.putheader("Content-Type", "image/png")
        connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content[:20])
        until(lambda: "expertnet_requests_inside 1.0" in text_at(f"{url}/metrics"))
        process.send_signal(signal.SIGTERM)
        until(lambda: not listens(port))  # it takes no other connections
        connection.send(content[20:])
        (answer,) = predictor.classify([load_image(content, predictor.image_size)], 2)
        found = json.load(connection.getresponse())["images"][0]
        connection.close()
        assert [each["label"] for each in found["predictions"]] == [each.label for each in answer.predictions]
        assert found["routing"][0] == pytest.approx(answer.routing[0].tolist(), abs=1e-4)
        said = process.communicate(timeout=LIMIT)[1]
        assert process.returncode == 0 and f"on {url}" in said and "Traceback" not in said
    finally:
        process.kill()
        process.communicate()


def test_what_cannot_be_served_is_named(trained, monkeypatch, tmp_path):
    (tmp_path / "runs").mkdir()
    assert "There is no run" in refused(command("serve-model", "latest", "--runs-dir", tmp_path / "runs"))
    assert "port from 1 to 65535" in refused(command("serve-model", "latest", "--port", 0, **trained.env))
    assert "EXPERTNET_API_KEY" in refused(command("serve-model", "latest", EXPERTNET_API_KEY=" x", **trained.env))
    for bad in ("shop.example.org", "https://shop.example.org/page", "ftp://shop.example.org", "https://"):
        assert f"{bad!r} is not the origin" in refused(
            command("serve-model", "latest", "--allow-origin", bad, **trained.env)
        )
    packages = {"no_such": "no-such", "onnx": "onnx", "nor_this": "nor-this", "nor_that": "nor-that"}
    monkeypatch.setattr(serve_model, "PACKAGES", packages)
    says = refused(command("serve-model", "latest", **trained.env))
    install = install_command("no-such", "nor-this", "nor-that")
    assert says == f"The service needs no-such, nor-this and nor-that. Run '{install}', then try again."


@pytest.mark.parametrize(
    "text", ["https://Shop.example.org/", "https://shop.example.org", "http://localhost:8000/", "*"]
)
def test_an_origin_is_compared_as_browsers_send_it(text):
    assert serve_model.origin(text) == text.lower().rstrip("/")


def test_a_run_with_damaged_weights_is_refused(trained, tmp_path):
    folder = tmp_path / "runs" / trained.run.id
    folder.mkdir(parents=True)
    for file in trained.run.path.iterdir():
        (folder / file.name).write_bytes(b"damaged" if file.suffix == ".safetensors" else file.read_bytes())
    assert f"run {trained.run.id} is damaged" in refused(
        command("serve-model", trained.run.id, "--port", free_port(), "--runs-dir", tmp_path / "runs")
    )
