"""Run `expertnet`: in a process of its own for what a process does by itself (signals, exit), else in this one, which is faster."""

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

import pytest

from expertnet.cli.main import main
from tests.support.served import ROOT

PROGRAM = [sys.executable, "-m", "expertnet"]
TINY_OPTIONS = [
    *("--set", "model.num_blocks=2", "--set", "model.channels=8", "--set", "model.pool_after="),
    *("--set", "data.image_size=8", "--set", "data.crop_padding=1", "--set", "hardware.device=cpu"),
]
TRAIN_TINY = ["train", "--dataset", "digits", *TINY_OPTIONS]


def process(*words, **env):
    """Run a command in a new process, with environment variables."""
    return subprocess.run(
        [*PROGRAM, *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | env,
    )


def command(*words, **env):
    """Run a command in this process. Returns what `process` returns."""
    out, err, handler = io.StringIO(), io.StringIO(), signal.getsignal(signal.SIGINT)
    arguments = ["expertnet", *map(str, words)]
    try:
        with (
            patch.object(sys, "argv", arguments),
            patch.dict(os.environ, env),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
    finally:
        signal.signal(signal.SIGINT, handler)
    return subprocess.CompletedProcess(arguments, ended.value.code or 0, out.getvalue(), err.getvalue())


def document(*words, **env):
    """Run a command with --json and return its document."""
    done = command(*words, "--json", **env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(done):
    """Check that a command did nothing and said why in one line, and return that line."""
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    message = done.stderr.removesuffix("\n")
    assert message and "\n" not in message and message.endswith(".")
    return message
