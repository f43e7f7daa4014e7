"""ExpertNet Studio: train networks of experts, watch them, see where each image is routed."""

import os

# Before torch is imported. Threads that spin while they wait for work make a training on all cores several times slower
# as soon as anything else runs, and a browser on the same machine is enough.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.2.0"
