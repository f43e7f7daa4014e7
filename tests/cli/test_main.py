"""The command line: documents, exit statuses, and one sentence for what is wrong.

What a process does by itself (its start, its end, signals) is tried on a process; the rest in this one, which is quicker.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest
from PIL import Image

from expertnet.cli.main import main
from expertnet.settings.fields import build_settings, flat
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from expertnet.utils.text import percent

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "expertnet"]
TINY = [
    *("--set", "model.num_blocks=2", "--set", "model.channels=8", "--set", "model.pool_after="),
    *("--set", "data.image_size=8", "--set", "data.crop_padding=1", "--set", "hardware.device=cpu"),
]


def process(*words, **keywords):
    return subprocess.run(
        [*PROGRAM, *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | keywords,
    )


def command(*words, **keywords):
    """What process() gives, without starting one."""
    out, err, at_interrupt = io.StringIO(), io.StringIO(), signal.getsignal(signal.SIGINT)
    arguments = ["expertnet", *map(str, words)]
    changed = patch.object(sys, "argv", arguments), patch.dict(os.environ, keywords)
    try:
        with changed[0], changed[1], redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGINT, at_interrupt)
    return subprocess.CompletedProcess(arguments, ended.value.code or 0, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with one trained run, its training's document, and the environment to find it."""
    root = tmp_path_factory.mktemp("cli")
    where = {"EXPERTNET_RUNS": str(root / "runs"), "EXPERTNET_DATA": str(root / "data")}
    done = process(
        "train", "--dataset", "digits", *TINY, "--set", "training.epochs=2", "--name", "mine", "--json", **where
    )
    assert done.returncode == 0, done.stderr
    return root, where, json.loads(done.stdout)


def refused(done):
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    sentence = done.stderr.removesuffix("\n")
    assert sentence and "\n" not in sentence and sentence.endswith(".")
    return sentence


def test_train_prints_its_document(trained):
    document = trained[2]
    assert set(document) == {
        "run",
        "state",
        "epochs",
        "val_accuracy",
        "best_val_accuracy",
        "test_accuracy",
        "test_accuracy_mirrored",
        "images_per_second",
        "seconds",
        "device",
    }
    assert (document["state"], document["epochs"]) == ("finished", 2) and document["test_accuracy"] is not None


def test_runs(trained):
    rows = json.loads(command("runs", "--json", **trained[1]).stdout)
    measured = (
        "val_accuracy",
        "best_val_accuracy",
        "test_accuracy",
    )  # of the last epoch, of the best, and of its weights
    assert [set(row) for row in rows] == [{"run", "name", "state", "epochs", *measured, "created", "dataset"}]
    assert {key: rows[0][key] for key in measured} == {key: trained[2][key] for key in measured}
    assert (rows[0]["name"], rows[0]["dataset"], rows[0]["epochs"]) == ("mine", "digits", 2)


def test_for_a_person_the_runs_stand_with_their_best_accuracy_under_a_header(trained):
    header, row = command("runs", **trained[1]).stdout.splitlines()
    assert header.split("  ")[0] == "run" and header.index("best accuracy") == row.index(row.split("epochs  ")[1])
    assert f"{percent(trained[2]['best_val_accuracy'], 2)} validation" in row and row.endswith("mine")


def test_a_named_folder_of_runs_has_to_be_there(trained):
    absent, file = trained[0] / "none", trained[0] / "file"
    file.touch()
    assert str(absent) in refused(command("runs", "--json", "--runs-dir", absent))
    assert str(absent) in refused(command("evaluate", "latest", EXPERTNET_RUNS=str(absent)))
    assert str(absent) in refused(command("train", "--resume", "latest", "--runs-dir", absent))
    assert "no folder" in refused(command("train", "--dataset", "digits", "--runs-dir", file)) and not absent.exists()
    absent.mkdir()
    assert json.loads(command("runs", "--json", "--runs-dir", absent).stdout) == []


def test_evaluate_agrees_with_the_training(trained):
    document = json.loads(command("evaluate", "latest", "--json", **trained[1]).stdout)
    assert set(document) == {"run", "dataset", "accuracy", "accuracy_mirrored", "loss", "confusion", "classes"}
    assert document["accuracy"] == pytest.approx(
        trained[2]["test_accuracy"], abs=0.02
    )  # float32 here, perhaps bf16 there
    total = sum(map(sum, document["confusion"]))
    assert sum(document["confusion"][i][i] for i in range(10)) / total == pytest.approx(document["accuracy"])


def test_evaluate_without_the_images_asks_for_others(trained, tmp_path):
    run = RunStore(trained[1]["EXPERTNET_RUNS"]).get(trained[2]["run"])
    shutil.copytree(run.path, tmp_path / run.id)
    moved = RunStore(tmp_path).get(run.id)
    moved.write_config(run.config() | {"data": run.config()["data"] | {"dataset": "gone.zip"}})
    assert (
        "gone.zip" in (said := refused(command("evaluate", "latest", "--runs-dir", tmp_path))) and "--dataset" in said
    )
    done = command("evaluate", "latest", "--dataset", "digits", "--json", "--runs-dir", tmp_path)
    assert json.loads(done.stdout)["dataset"] == "digits"


def test_predict_and_routing_do_the_rest_when_a_file_is_bad(trained):
    good, bad = trained[0] / "good.png", trained[0] / "bad.png"
    Image.new("L", (20, 30), 90).save(good)
    bad.write_text("no image")
    done = command(
        "predict", trained[2]["run"][:15], good, bad, trained[0] / "absent.png", "--top", 3, "--json", **trained[1]
    )
    assert done.returncode == 1
    first, second, third = json.loads(done.stdout)
    probabilities = [p["probability"] for p in first["predictions"]]
    assert (
        first["file"] == str(good) and len(probabilities) == 3 and probabilities == sorted(probabilities, reverse=True)
    )
    assert second["error"] and third["error"] and set(second) == {"file", "error"}

    done = command("routing", "latest", good, "--checkpoint", "last", "--json", **trained[1])
    weights = json.loads(done.stdout)[0]["weights"]
    assert done.returncode == 0 and [len(block) for block in weights] == [3, 3]
    assert all(sum(block) == pytest.approx(1, abs=1e-5) for block in weights)


def test_for_a_person_the_sentence_on_a_bad_file_is_no_answer(trained):
    good, absent = trained[0] / "seen.png", trained[0] / "unseen.png"
    Image.new("L", (20, 30), 90).save(good)
    done = command("predict", "latest", absent, good, **trained[1])
    assert done.returncode == 1 and str(absent) in done.stderr and len(done.stderr.splitlines()) == 1
    assert done.stdout.startswith(f"{good}: ") and str(absent) not in done.stdout
    assert str(absent) in refused(command("routing", "latest", absent, **trained[1]))


def test_export_holds_the_weights_and_the_config(trained):
    from safetensors import safe_open

    output = trained[0] / "net.safetensors"
    assert command("export", "latest", "--format", "safetensors", "--output", output, **trained[1]).returncode == 0
    with safe_open(output, framework="pt") as file:
        assert "classifier.head.weight" in file.keys()  # noqa: SIM118
        assert json.loads(file.metadata()["config"])["dataset"]["name"] == "digits"
    assert "folder that exists" in refused(
        command("export", "latest", "--format", "safetensors", "--output", trained[0] / "no" / "x", **trained[1])
    )
    os.mkfifo(trained[0] / "pipe")
    assert "not a regular file" in refused(
        command("export", "latest", "--format", "safetensors", "--output", trained[0] / "pipe", **trained[1])
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "--set", "training.lr=-1"], "training.lr"),
        (["train", "--preset", "best"], "Choose one of"),
        (["train", "--preset", "qick"], "Did you mean quick?"),
        (["train", "--dataset", "cifar-10"], "Did you mean cifar10?"),
        (["train", "--set", "learning.lr=1"], "Did you mean training.lr?"),
        (["settings", "--preset", "qick"], "Did you mean quick?"),
        (["train", "--dataset", "no/such/folder"], "no/such/folder"),
        (["train", "--resume", "latest", "--set", "training.lr=1"], "training.epochs"),
        (["train", "--resume", "latest", "--preset", "quick"], "training.epochs"),
        (["predict", "../../etc", "x.png"], "../../etc"),
        (["evaluate", "20200101-000000-0000"], "no run"),
        (["train", "--frobnicate"], "--frobnicate"),
        (["export", "latest", "--format", "pickle", "--output", "x"], "pickle"),
        (["export", "latest", "--output", "x"], "--format"),
        (["export", "latest", "--format", "safetensors"], "export --help"),
        (["trian"], "'train'; python -m expertnet --help"),
        ([], "--help"),
        (["predict", "latest"], "predict --help"),
        (["predict", "latest", "x.png", "--top", "0"], "--top"),
        (["evaluate", "latest", "--checkpoint", "worst"], "'best'"),
        (["evaluate", "latest", "--dataset", ""], "`data.dataset` must be a built-in dataset"),
        (["runs", "latest"], "runs --help"),
        (["runs", "--json=1"], "--json"),
    ],
)
def test_one_sentence_and_status_2(trained, words, says):
    assert says in refused(command(*words, **trained[1]))


def test_the_list_that_a_refusal_names_has_every_setting(trained):
    assert "expertnet settings" in refused(command("train", "--set", "no.such=1", **trained[1]))
    rows = json.loads(command("settings", "--preset", "report", "--json").stdout)
    given = {
        key: list(value) if isinstance(value, tuple) else value for key, value in flat(build_settings("report")).items()
    }
    assert {row["setting"]: row["value"] for row in rows} == given
    assert "model.pool_after=1,2 " in command("settings").stdout


def test_a_process_ends_with_the_sentence_and_the_status(trained):
    assert "training.lr" in refused(process("train", "--set", "training.lr=-1", **trained[1]))


def test_the_help_tells_each_command_in_a_whole_sentence():
    lines = command("--help", COLUMNS="80").stdout.split("Commands:")[1].strip().splitlines()
    assert len(lines) == 8 and all(line.endswith(".") and not line.endswith("...") for line in lines)


def test_own_images_that_are_too_few_leave_no_run_behind(trained, tmp_path):
    where = trained[1] | {"EXPERTNET_RUNS": str(tmp_path / "runs")}
    for name in ("green", "red"):
        (tmp_path / "own" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), name).save(tmp_path / "own" / name / "1.png")
    assert "too few to hold out" in refused(command("train", "--dataset", tmp_path / "own", *TINY, **where))
    assert RunStore(tmp_path / "runs").list() == []


def test_latest_is_the_latest_with_a_network_where_one_is_needed(trained, tmp_path):
    shutil.copytree(trained[0] / "runs", tmp_path / "runs")
    where, store = trained[1] | {"EXPERTNET_RUNS": str(tmp_path / "runs")}, RunStore(tmp_path / "runs")
    later = store.create(build_settings("quick", "digits"), name="later")
    later.path = later.path.rename(store.root / "99990101-000000-abcd")
    later.write_status(Status().changed(state="failed"))
    exported = command("export", "latest", "--format", "zip", "--output", tmp_path / "x.zip", "--json", **where)
    assert json.loads(exported.stdout)["run"] == trained[2]["run"]
    said = refused(command("predict", "9999", "x.png", **where))
    assert said.startswith("Run later failed before its first epoch was whole")
    _, *rows = command("runs", **where).stdout.splitlines()
    assert len(rows) == 2 and all("  Digits  " in row for row in rows)


def test_classes_that_are_few_are_all_named(trained):
    for name in ("green", "red"):
        (trained[0] / "colours" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), name).save(trained[0] / "colours" / name / f"{number}.png")
    sentence = refused(command("evaluate", "latest", "--dataset", trained[0] / "colours", **trained[1]))
    assert "colours' (green, red) are not" in sentence


def test_interrupt_while_torch_is_imported_leaves_no_traceback(trained):
    words = [sys.executable, "-X", "importtime", *PROGRAM[1:], "runs"]  # tells of each import when it is done
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as started:
        for line in started.stderr:
            if line.split()[-1].startswith("torch."):
                started.send_signal(signal.SIGINT)
                break
        assert "Traceback" not in started.stderr.read()
    assert started.returncode == 130


def test_resume_tells_of_whole_epochs_alone(trained):
    where = trained[1] | {"EXPERTNET_RUNS": str(trained[0] / "resumed")}
    done = command("train", "--dataset", "digits", *TINY, "--set", "training.epochs=1", **where)
    assert done.stdout.startswith("finished after 1 epoch\n")
    done = command("train", "--resume", "latest", "--set", "training.epochs=2", **where)
    told = [line for line in done.stderr.splitlines() if "epoch" in line]
    assert told[0] == "Going on after epoch 1" and told[1].startswith("epoch 2/2 ") and len(told) == 2
    assert " 2 epochs " in command("runs", **where).stdout


def test_interrupt_stops_keeps_the_epoch_and_resume_goes_on(trained):
    where = trained[1] | {"EXPERTNET_RUNS": str(trained[0] / "interrupted")}
    words = [*PROGRAM, "train", "--dataset", "digits", *TINY, "--set", "training.epochs=10000", "--json"]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | where
    ) as started:
        for line in started.stderr:
            if line.startswith("epoch 1/"):
                started.send_signal(signal.SIGINT)
                break
        out, _ = started.communicate(timeout=600)
    document = json.loads(out)
    assert started.returncode == 0 and document["state"] == "stopped" and 1 <= document["epochs"] < 10000
    run = RunStore(where["EXPERTNET_RUNS"]).list()[0]
    kept = len(run.metrics())
    done = command("train", "--resume", "latest", "--set", f"training.epochs={kept + 1}", "--json", **where)
    assert json.loads(done.stdout)["state"] == "finished" and [m["epoch"] for m in run.metrics()] == list(
        range(1, kept + 2)
    )


def test_a_killed_training_is_interrupted_and_goes_on(trained):
    where = trained[1] | {"EXPERTNET_RUNS": str(trained[0] / "killed")}
    words = [*PROGRAM, "train", "--dataset", "digits", *TINY, "--set", "training.epochs=10000"]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | where
    ) as started:
        for line in started.stderr:
            if line.startswith("epoch 1/"):
                started.kill()
                break
    rows = json.loads(command("runs", "--json", **where).stdout)
    assert rows[0]["state"] == "interrupted"
    done = command(
        "train", "--resume", "latest", "--set", f"training.epochs={rows[0]['epochs'] + 1}", "--json", **where
    )
    assert done.returncode == 0 and json.loads(done.stdout)["state"] == "finished"


def test_progress_goes_to_standard_error_alone(trained):
    buffer = io.StringIO(command("runs", **trained[1]).stdout)
    assert "mine" in buffer.read()


def test_a_run_goes_out_as_a_zip_and_comes_in_elsewhere(trained, tmp_path):
    _, where, document = trained
    archive = tmp_path / "run.zip"
    last = ("--checkpoint", "last")
    assert "whole run" in refused(command("export", "latest", "--format", "zip", *last, "--output", archive, **where))
    done = command("export", "latest", "--format", "zip", "--output", archive, "--json", **where)
    assert json.loads(done.stdout) == {"run": document["run"], "format": "zip", "output": str(archive)}
    elsewhere = tmp_path / "elsewhere"
    done = command("import", archive, "--json", EXPERTNET_RUNS=str(elsewhere))
    told = {"run": document["run"], "was": document["run"], "new": True, "name": "mine", "state": "finished"}
    assert json.loads(done.stdout) == told, done.stderr
    again = command("import", archive, EXPERTNET_RUNS=str(elsewhere))
    assert again.returncode == 0 and again.stdout == "mine is here already; nothing was imported.\n"
    assert RunStore(elsewhere).get(document["run"]).damage() is None
    archive.write_bytes(archive.read_bytes()[:-30])
    assert "no zip file" in refused(command("import", archive, EXPERTNET_RUNS=str(elsewhere)))
    assert "no file" in refused(command("import", tmp_path / "none", EXPERTNET_RUNS=str(elsewhere)))
    assert len(list(elsewhere.iterdir())) == 1
