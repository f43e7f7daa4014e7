"""The folder that holds app.py, pages/, .streamlit/ and the runs that ship: the checkout, or part of the installed package."""

from pathlib import Path

_PACKAGED = Path(__file__).parents[1] / "studio"  # only the wheel has this folder (pyproject.toml)

INSTALLED = _PACKAGED.is_dir()
HOME = _PACKAGED if INSTALLED else Path(__file__).parents[2]
