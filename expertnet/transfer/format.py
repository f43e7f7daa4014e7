"""The files in the zip of an exported run, and their limits."""

import re

from expertnet.store.notes import MAX_NOTES_BYTES, NOTES_FILE
from expertnet.store.run import CONTROLS

MANIFEST = "export.json"
TEXTS = {  # the largest size of each, in bytes
    MANIFEST: 2**16,
    "config.json": 2**22,
    "status.json": 2**16,
    "metrics.jsonl": 2**25,
    NOTES_FILE: MAX_NOTES_BYTES,
    "log.txt": 2**20,
    "card.md": 2**18,
}
RESULTS = (
    "routings|ablations|frozen|headroom|robustness|likeness|stability|outputs|corrupted"  # of validation or test images
)
WEIGHTS_NAME = re.compile(
    rf"(?:(routing|probes|novelty|(?:{RESULTS})-(?:validation|test)"  # and those of earlier versions, which nothing reads now:
    r"|policies|silenced|silenced-renormalised)-)?(best|last|epoch-([0-9]{4,5}))\.safetensors"
)
CONTROL_FILES = ("config.json", "status.json")
CONTROL_NAME = re.compile(rf"{CONTROLS}/([0-9]{{8}}-[0-9]{{6}}-[0-9a-f]{{4}})/(config\.json|status\.json)")
MAX_CONTROLS = 1000
MAX_UNPACKED = 2**30  # bytes of all files of a run together
MAX_FILES = 20_000  # of a run
MAX_LINE = 2**20  # bytes of a line of metrics.jsonl
MAX_HEADER = 2**24  # bytes that describe the tensors of a file
MAX_RUNS = 20  # in one file
PIECE = 2**20  # bytes copied at a time


def limit_of(name: str) -> int:
    """Return the largest size of a file in the zip of a run; 0 if there is no such file."""
    if control := CONTROL_NAME.fullmatch(name):
        return TEXTS[control[2]]
    return MAX_UNPACKED if WEIGHTS_NAME.fullmatch(name) else TEXTS.get(name, 0)
