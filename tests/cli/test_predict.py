"""`expertnet predict`, and what it shares with `expertnet routing`."""

import json
import shutil

import pytest
from PIL import Image

from expertnet.evaluation.outputs import measure_outputs
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from expertnet.utils.processes import this_process
from tests.support.command import command, document, refused


@pytest.fixture
def good(tmp_path):
    Image.new("L", (20, 30), 90).save(tmp_path / "good.png")
    return tmp_path / "good.png"


def test_the_document(trained, good, tmp_path):
    # Another test may have calibrated the run
    uncalibrated = shutil.ignore_patterns("outputs-*")
    shutil.copytree(trained.run.path, tmp_path / "runs" / trained.run.id, ignore=uncalibrated)
    (row,) = document("predict", "latest", good, "--runs-dir", tmp_path / "runs", "--top", 3, **trained.env)
    assert list(row) == ["file", "predictions", "unlike"] and row["file"] == str(good)
    assert list(row["unlike"]) == ["unlike", "as_unusual", "held_out", "score", "limit"]
    assert all(list(prediction) == ["label", "probability"] for prediction in row["predictions"])
    probabilities = [prediction["probability"] for prediction in row["predictions"]]
    assert len(probabilities) == 3 and probabilities == sorted(probabilities, reverse=True)


def test_a_calibrated_run_has_both_probabilities(trained, good, tmp_path):
    shutil.copytree(trained.run.path, tmp_path / "runs" / trained.run.id)
    run = RunStore(tmp_path / "runs").get(trained.run.id)
    temperature = measure_outputs(run, "validation").temperature
    (row,) = document("predict", "latest", good, "--runs-dir", tmp_path / "runs", "--top", 10, **trained.env)
    powers = [each["probability"] ** (1 / temperature) for each in row["predictions"]]
    expected = [power / sum(powers) for power in powers]
    assert [each["calibrated"] for each in row["predictions"]] == pytest.approx(expected, rel=1e-4)
    assert expected[0] != pytest.approx(row["predictions"][0]["probability"], rel=1e-3)


def test_unreadable_files_do_not_keep_the_others_from_being_classified(trained, good, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("not an image")
    prefix = trained.run.id[:15]
    done = command("predict", prefix, bad, good, tmp_path / "absent.png", "--json", **trained.env)
    assert done.returncode == 1
    first, second, third = json.loads(done.stdout)
    assert list(first) == list(third) == ["file", "error"] and first["error"] and third["error"]
    assert second["file"] == str(good) and len(second["predictions"]) == 5


def test_errors_go_to_standard_error(trained, good, tmp_path):
    absent = tmp_path / "absent.png"
    done = command("predict", "latest", absent, good, **trained.env)
    assert done.returncode == 1 and done.stderr.startswith(f"{absent}: ")
    assert done.stdout.startswith(f"{good}: ") and str(absent) not in done.stdout
    assert str(absent) in refused(command("routing", "latest", absent, **trained.env))


def test_a_network_whose_outputs_are_not_finite_has_no_answer(trained, overflowing, good, tmp_path):
    words = (overflowing.id, good, "--runs-dir", overflowing.path.parent)
    assert "are not finite numbers, so it has no answer" in refused(command("predict", *words, **trained.env))
    done = command("routing", *words, "--json", **trained.env)
    (row,) = json.loads(done.stdout, parse_constant=pytest.fail)  # NaN is no JSON
    assert done.returncode == 2 and list(row) == ["file", "error"]


def test_nothing_is_measured_if_no_file_can_be_read(trained, good, tmp_path):
    shutil.copytree(trained.run.path, tmp_path / "runs" / trained.run.id, ignore=shutil.ignore_patterns("novelty-*"))
    words = ("--runs-dir", tmp_path / "runs")
    assert refused(command("predict", "latest", tmp_path / "absent.png", *words, **trained.env)).endswith("its path.")
    assert not list(tmp_path.glob("runs/*/novelty-*"))
    command("predict", "latest", good, *words, **trained.env)
    assert list(tmp_path.glob("runs/*/novelty-*"))


def test_a_run_in_training_says_that_its_answers_are_not_final(trained, good, tmp_path):
    shutil.copytree(trained.run.path, tmp_path / "runs" / trained.run.id)
    run = RunStore(tmp_path / "runs").get(trained.run.id)
    run.write_status(run.status().changed(state="running", process=this_process()))
    done = command("predict", "latest", good, "--runs-dir", tmp_path / "runs", **trained.env)
    assert done.returncode == 0 and "mine is still in training" in done.stderr and done.stdout.startswith(f"{good}: ")
    assert "in training" not in command("predict", "latest", good, **trained.env).stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["../../etc", "x.png"], "../../etc"),
        (["latest"], "predict --help"),
        (["latest", "x.png", "--top", "0"], "--top"),
    ],
)
def test_wrong_arguments_are_rejected(trained, words, says):
    assert says in refused(command("predict", *words, **trained.env))


def test_latest_is_the_latest_trained_network(trained, tmp_path):
    shutil.copytree(trained.store.root, tmp_path / "runs")
    env, store = trained.env | {"EXPERTNET_RUNS": str(tmp_path / "runs")}, RunStore(tmp_path / "runs")
    later = store.create(build_settings("quick", "digits"), name="later")
    later.path = later.path.rename(store.root / "99990101-000000-abcd")
    later.write_status(Status().changed(state="failed"))
    assert document("evaluate", "latest", **env)["run"] == trained.run.id
    assert refused(command("predict", "9999", "x.png", **env)).startswith("Run “later” failed before it completed")
