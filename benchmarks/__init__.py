"""Prints the published figures: `python -m benchmarks.NAME`."""

import expertnet  # noqa: F401 - decides how threads wait, which counts only before torch is loaded
