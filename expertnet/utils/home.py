"""The folder that holds app.py, pages/, .streamlit/ and the runs that ship: the checkout, or part of the installed package."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_PACKAGED = Path(__file__).parents[1] / "studio"  # only the wheel has this folder (pyproject.toml)

INSTALLED = _PACKAGED.is_dir()
HOME = _PACKAGED if INSTALLED else Path(__file__).parents[2]


PROGRAM = "expertnet"


def install_command(*packages: str) -> str:
    """Return the command that installs packages for the Python that runs, in a checkout and in an installed copy alike."""
    return quoted([sys.executable or "python", "-m", "pip", "install", *packages])


def launcher() -> str:
    """Return how to call the command `expertnet` here: by its name if the PATH leads to it, else by the path from this folder."""
    python = Path(sys.executable or "python")
    script = python.with_name(PROGRAM + python.suffix * (os.name == "nt"))
    found = shutil.which(PROGRAM)  # which may belong to another installation
    if found and script.is_file() and os.path.samefile(found, script):
        return PROGRAM
    program, options = (script, []) if script.is_file() else (python, ["-m", PROGRAM])
    here = Path.cwd()
    return quoted([str(program.relative_to(here) if program.is_relative_to(here) else program), *options])


def quoted(words: Sequence[str]) -> str:
    """Return words as one command, as this system's shell takes them."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
