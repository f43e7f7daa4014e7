"""The folder that holds app.py, pages/, .streamlit/ and the runs that ship: the checkout, or part of the installed package."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

_PACKAGED = Path(__file__).parents[1] / "studio"  # only the wheel has this folder (pyproject.toml)

INSTALLED = _PACKAGED.is_dir()
HOME = _PACKAGED if INSTALLED else Path(__file__).parents[2]


def install_command(*packages: str) -> str:
    """Return the command that installs packages for the Python that runs, in a checkout and in an installed copy alike."""
    command = [sys.executable or "python", "-m", "pip", "install", *packages]
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)
