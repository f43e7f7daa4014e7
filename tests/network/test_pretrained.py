"""Networks read from exported folders and files, as `ExpertNet.from_pretrained` does."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from expertnet.data.augment import normalize
from expertnet.errors import RunError, SettingsError
from expertnet.inference.predictor import load_predictor
from expertnet.network.model import ExpertNet
from expertnet.store.run import Run
from expertnet.transfer.export_network import network_file, write_network
from tests.support.kinds import KINDS
from tests.support.lab import COLORS, network, random_images, saved_run
from tests.support.opening import SHIPPED
from tests.support.served import ROOT


@pytest.fixture
def folder(tmp_path):
    """The folder of a run, which has the names of an exported folder but for that of the weights."""
    return saved_run(tmp_path).path


@pytest.mark.parametrize("kind", [{}, *KINDS, {"whitened_stem": True, "head": "max", "expert_blocks": (2,)}], ids=str)
def test_a_network_of_each_kind_answers_as_before(tmp_path, kind):
    if "head" in kind:
        run = saved_run(tmp_path)
        net = ExpertNet(run.settings().model.model_copy(update=kind), 2)
        config = run.config()
        config["model"] |= kind
        run.write_config(config)
        save_file(net.state_dict(), run.path / "best.safetensors")
        folder = run.path
    else:
        folder, net = saved_run(tmp_path, **kind).path, network(**kind)
    images = random_images(5) / 255
    found = ExpertNet.from_pretrained(folder)
    assert not found.training and found.info == COLORS
    with torch.no_grad():
        for ours, expected in zip(found(images, True), net.eval()(images, True), strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=0)


def test_the_weights_of_an_export_come_before_those_of_a_run(folder):
    weights = {name: value + 1 for name, value in load_file(folder / "best.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    found = ExpertNet.from_pretrained(str(folder)).state_dict()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_a_file_has_its_settings_in_the_metadata(folder, tmp_path):
    weights, config = load_file(folder / "best.safetensors"), (folder / "config.json").read_text()
    save_file(weights, tmp_path / "net.safetensors", {"config": config})
    found = ExpertNet.from_pretrained(tmp_path / "net.safetensors")
    assert found.info == COLORS and torch.equal(found.state_dict()["stem.conv.weight"], weights["stem.conv.weight"])


def test_the_example_in_the_documentation_runs(folder, tmp_path, monkeypatch, capsys):
    folder.rename(tmp_path / "net")
    Image.new("RGB", (9, 8), "red").save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    code = (ROOT / "docs/export.md").read_text().split("```python\n")[1].split("```")[0]
    exec(code, {})
    assert capsys.readouterr().out.split()[0] in COLORS.classes


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda folder: folder.name)
@pytest.mark.parametrize("name", ["folder", "file.safetensors"])
def test_an_exported_included_network_answers_as_in_the_studio(tmp_path, shipped, name):
    """The kernels of the network for photographs are float16."""
    run = Run(shipped)
    content, _ = network_file(run, "best")
    if name == "folder":
        (tmp_path / name).mkdir()
        write_network(run, content, "# A card", tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    net, predictor = ExpertNet.from_pretrained(tmp_path / name), load_predictor(run)
    images = random_images(3, size=predictor.image_size)
    with torch.inference_mode():
        logits, routing = net(normalize(images, torch.tensor(net.info.mean), torch.tensor(net.info.std)), True)
    for ours, expected in zip((logits.softmax(1), routing), predictor(images), strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("wrong", ["nowhere", "empty"])
def test_a_missing_network_gets_a_sentence(tmp_path, wrong):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="There is no network in .* model.safetensors"):
        ExpertNet.from_pretrained(tmp_path / wrong)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("best.safetensors", b"x"),
        ("best.safetensors", b"\xff" * 100),
        ("config.json", b"["),
        ("config.json", b"[]"),
        ("config.json", b"{}"),
        ("config.json", b'{"dataset": {"classes": 3}}'),
    ],
)
def test_a_damaged_network_gets_a_sentence(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(RunError, match="damaged or lacks its settings"):
        ExpertNet.from_pretrained(folder)


def test_other_settings_get_a_sentence(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model": config["model"] | {"channels": 12}}))
    with pytest.raises(RunError, match="do not fit"):
        ExpertNet.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config | {"model": {"channels": "many"}}))
    with pytest.raises(SettingsError):
        ExpertNet.from_pretrained(folder)
