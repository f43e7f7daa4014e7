"""What a terminal prints of names that somebody else chose."""

import io
import json
import sys
from contextlib import redirect_stdout
from unittest.mock import patch

import pytest
from PIL import Image

from expertnet.cli.main import main
from expertnet.store.run_store import RunStore
from tests.support.command import command, refused
from tests.support.opening import finished, written

NAME = "a\nb\x1b[2J\u202egpj"
CONTROLS = ("\x1b", "\u202e", "\x07", "\r")


def harmless(text):
    return not any(sign in text for sign in CONTROLS)


def test_the_name_of_a_run_stays_on_its_line(tmp_path):
    run = written(RunStore(tmp_path))
    run.write_config(run.config() | {"name": NAME})  # as earlier versions did
    done = command("runs", "--runs-dir", tmp_path)
    assert len(done.stdout.splitlines()) == 2 and harmless(done.stdout) and "a?b?[2J?gpj" in done.stdout
    (row,) = json.loads(command("runs", "--json", "--runs-dir", tmp_path).stdout)
    assert row["name"] == NAME


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "Gr??e ??"), ("cp1252", "Größe ??"), ("utf-8", "Größe 数字")]
)
def test_a_character_that_the_output_cannot_encode_is_replaced(tmp_path, encoding, shown):
    run = written(RunStore(tmp_path))
    run.write_config(run.config() | {"name": "Größe 数字"})
    out = io.TextIOWrapper(io.BytesIO(), encoding)
    words = patch.object(sys, "argv", ["expertnet", "runs", "--runs-dir", str(tmp_path)])
    with words, redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main()
    out.flush()
    assert not ended.value.code and shown in out.buffer.getvalue().decode(encoding)


def test_the_names_of_files_and_classes_stay_on_their_line(tmp_path):
    run = finished(RunStore(tmp_path / "runs"))
    config = run.config()
    config["dataset"]["classes"] = [f"{NAME}{number}" for number in range(10)]
    run.write_config(config)
    good, bad = tmp_path / f"{NAME}.png", tmp_path / f"\x1b]0;bad\x07\r{NAME}.png"
    Image.new("L", (9, 9)).save(good)
    bad.write_text("no image")
    words = ("predict", run.id, good, bad, "--runs-dir", run.path.parent)
    done = command(*words)
    assert len(done.stdout.splitlines()) == len(done.stderr.splitlines()) == 1
    assert harmless(done.stdout) and harmless(done.stderr)
    document = command(*words, "--json").stdout
    assert harmless(document) and [row["file"] for row in json.loads(document)] == [str(good), str(bad)]


def test_a_message_about_a_hostile_word_stays_on_its_line(tmp_path):
    assert harmless(refused(command("evaluate", NAME, "--runs-dir", tmp_path)))
    assert harmless(refused(command("export", "latest", "--format", NAME, "--runs-dir", tmp_path)))
