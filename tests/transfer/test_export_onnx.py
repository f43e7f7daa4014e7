"""ONNX networks, checked in onnxruntime against PyTorch."""

import json

import numpy as np
import onnx
import pytest
from safetensors.torch import load_file, save_file

from expertnet.errors import DatasetError, RunError
from expertnet.evaluation.outputs import measure_outputs
from expertnet.inference.predictor import load_predictor
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.transfer import onnx_graph as graphs
from expertnet.transfer.export_onnx import Exported, export_onnx, golden_images, package
from expertnet.transfer.onnx_check import check, open_session, outputs
from expertnet.transfer.onnx_precision import Precision, to_float16, to_int8
from tests.support.lab import COLORS, saved_run
from tests.support.onnx_networks import graph, images, predictor
from tests.support.onnx_scripts import run_script, unpacked
from tests.support.opening import SHIPPED_CONTEXTS, finished
from tests.support.served import ROOT

pytestmark = pytest.mark.slow
KINDS = [  # each choice of the family once, in few networks, since a conversion takes seconds
    {"mixing": "kernels", "gates": "odconv", "router_output": "sigmoid", "residual": True},
    {"top_k": 2, "gates": "se", "router_input": "mean_deviation", "activation": "silu", "widths": (4, 6)},
    {
        "whitened_stem": True,
        "head": "max",
        "pool_before_norm": True,
        "activation": "gelu",
        "norm_scale": False,
        "num_blocks": 3,
        "expert_blocks": (2, 3),
        "mixing": "kernels",
        "top_k": 1,
        "routing": "random",
    },
]


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_network_of_each_kind_answers_as_in_pytorch(kind):
    net = predictor(**kind)
    assert check(graph(net), net, images(net)) < 1e-5


def without_images(folder):
    """A run whose images are gone."""
    run = saved_run(folder)
    run.write_config(run.config() | {"data": run.config()["data"] | {"dataset": str(folder / "gone")}})
    return run


def test_a_network_that_overflows_in_float16_is_refused(tmp_path):
    """Its activations reach 10 to the 6th, and float16 ends at 65,504."""
    run = without_images(tmp_path)
    path = run.checkpoints.path("best")
    weights = load_file(path)
    weights["stem.norm.weight"] *= 1e6
    save_file(weights, path, {"epoch": "1"})
    says = r"batches of 1, its probabilities are not finite numbers \(100\.0% of them, first at image 1, class 1\)\. .* float32"
    with pytest.raises(RunError, match=says):
        export_onnx(run, precision=Precision.FLOAT16)


def test_a_graph_says_what_it_is(plain):
    net, content = plain
    loaded = onnx.load_from_string(content)
    onnx.checker.check_model(loaded, full_check=True)
    facts = {fact.key: fact.value for fact in loaded.metadata_props}
    assert json.loads(facts["classes"]) == list(COLORS.classes) and facts["image_size"] == "8"
    assert "temperature" not in facts  # it is not calibrated
    assert facts["run"] == "a run" and facts["fingerprint"] == graphs.fingerprint(net.model)
    assert facts["fingerprint"] != graphs.fingerprint(predictor(reduction=2, residual=True, channels=7).model)
    (source,) = loaded.graph.input
    assert source.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [axis.dim_param or axis.dim_value for axis in source.type.tensor_type.shape.dim] == ["N", 3, 8, 8]


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("precision", list(Precision))
def test_a_graph_has_no_paths_and_no_source_code(precision, features):
    net = predictor()
    model = graphs.onnx_graph(net, features)
    assert b'File "' in model.SerializeToString()
    if precision is not Precision.FLOAT32:
        model = to_float16(model) if precision is Precision.FLOAT16 else to_int8(model, images(net))
    content = graphs.with_metadata(model, graphs.metadata(net, "a run", precision))
    assert not any(part in content for part in (str(ROOT).encode(), b'File "', b"stack_trace"))


@pytest.mark.long
def test_the_metadata_of_a_calibrated_run_have_the_temperature_that_calibrates_its_probabilities():
    run = finished(RunStore())
    temperature = measure_outputs(run, "validation").temperature
    content = export_onnx(run).content
    facts = {fact.key: fact.value for fact in onnx.load_from_string(content).metadata_props}
    assert float(facts["temperature"]) == temperature
    net = load_predictor(run)
    (probabilities, *_), pixels = outputs(open_session(content), images(net, 3)), images(net, 3)
    powers = probabilities ** (1 / float(facts["temperature"]))
    expected = [each.calibrated(temperature).probabilities.numpy() for each in net.classify(list(pixels))]
    np.testing.assert_allclose(powers / powers.sum(1, keepdims=True), expected, atol=1e-5)


def test_several_blocks_with_experts_are_named_in_words(tmp_path):
    run = finished(RunStore(), **{"model.num_blocks": 3, "model.expert_blocks": (2, 3)})
    found = Exported(b"", load_predictor(run), Precision.FLOAT32, 0.0, None)
    folder = unpacked(package(run, found, ""), tmp_path)
    assert "only blocks 2 and 3 have experts" in (folder / "README.md").read_text()


def test_your_own_images_do_not_travel(tmp_path, monkeypatch):
    run = Run(SHIPPED_CONTEXTS)
    assert any(name.startswith("images/test-") for name in golden_images(run, 32))
    own = saved_run(tmp_path)
    config = own.config()
    config["data"]["dataset"] = "/my/images"
    own.write_config(config)
    assert not any("test-" in name for name in golden_images(own, 8))


@pytest.mark.parametrize("precision", [Precision.FLOAT16, Precision.INT8])
def test_smaller_networks_say_what_they_keep(exported, precision, tmp_path):
    run, float32, _ = exported
    smaller = export_onnx(run, precision=precision)
    assert len(smaller.content) < len(float32.content)
    kept = smaller.kept
    assert kept.images == 1800 and kept.float32_accuracy == pytest.approx(run.status().test_accuracy)
    split_answers = outputs(open_session(smaller.content), images(load_predictor(run)))
    assert np.isfinite(split_answers[0]).all() and kept.accuracy > 0.95 and kept.same_answers > 0.95
    done = run_script(unpacked(package(run, smaller, "# A card"), tmp_path), "check.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_int8_needs_images_to_calibrate(tmp_path):
    run = without_images(tmp_path)
    with pytest.raises(DatasetError, match="calibrated on validation images, and those of gone"):
        export_onnx(run, precision=Precision.INT8)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(graphs, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(RunError, match="ONNX needs no_such_package, .* Run '.* -m pip install no_such_package'"):
        graphs.require_packages()
