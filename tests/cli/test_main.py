"""The program as a whole: help, wrong words and Ctrl-C."""

import signal
import subprocess
import sys

import pytest

from expertnet import __version__
from tests.support.command import PROGRAM, command, refused
from tests.support.served import ROOT


def test_the_help_describes_each_command_in_one_line():
    lines = command("--help", COLUMNS="80").stdout.split("Commands:")[1].strip().splitlines()
    assert len(lines) == 13 and all(line.endswith(".") and not line.endswith("...") for line in lines)


def test_the_version():
    assert command("--version").stdout == f"expertnet {__version__}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian"], "Did you mean 'train'? See 'expertnet --help'."),
        ([], "See 'expertnet --help'."),
        (["train", "--frobnicate"], "--frobnicate"),
        (["runs", "latest"], "See 'expertnet runs --help'."),
        (["runs", "--json=1"], "--json"),
    ],
)
def test_wrong_words_are_rejected_in_one_line(words, says):
    assert says in refused(command(*words))


@pytest.mark.slow
def test_an_interrupt_while_torch_is_imported_leaves_no_traceback():
    words = [sys.executable, "-X", "importtime", *PROGRAM[1:], "runs"]  # prints each import when it is done
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as started:
        for line in started.stderr:
            if line.split()[-1].startswith("torch."):
                started.send_signal(signal.SIGINT)
                break
        assert "Traceback" not in started.stderr.read()
    assert started.returncode == 130
