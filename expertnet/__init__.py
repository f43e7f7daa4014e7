"""ExpertNet Studio: train networks of experts, watch them, see where each image is routed."""

import os

# Set before torch is imported. Otherwise idle threads spin, and training slows down several times when anything else runs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.2.0"
