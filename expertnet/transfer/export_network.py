"""Export a network as safetensors, for `ExpertNet.from_pretrained`."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from expertnet.errors import RunError
from expertnet.network.pretrained import CONFIG, WEIGHTS
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.checks import load_weights
from expertnet.store.run import Run
from expertnet.transfer.validation import clean_config, parse_object
from expertnet.utils.files import write_atomically

CARD = "README.md"  # where model hubs look for the card


def portable_config(run: Run) -> dict[str, Any]:
    """Return a run's config.json without the paths of this computer. Raises RunError."""
    try:
        return clean_config(run.config())[0]
    except RunError as error:
        raise RunError(f"Run {run.name} cannot be exported: {error}") from None


def network_file(run: Run, checkpoint: Checkpoint) -> tuple[bytes, int]:
    """Return a safetensors file with the config in its metadata, and the epoch of the weights. Raises RunError."""
    weights, epoch = load_weights(run, checkpoint)
    return save(weights, {"epoch": str(epoch), "config": json.dumps(portable_config(run))}), epoch


def write_network(run: Run, weights: bytes, card: str, folder: Path) -> None:
    """Write a `network_file`, the config and the model card into an existing folder, also in place of an earlier export.

    Raises RunError, also if the folder has other files, or OSError.
    """
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if there and not (there <= {WEIGHTS, CONFIG, CARD} and _has_config(folder)):
        raise RunError(f"{folder} has other files, perhaps a {CARD}. Choose an empty folder.")
    # The config comes first, so that an export that was cut off can be done again
    files = {CONFIG: json.dumps(portable_config(run), indent=2).encode(), WEIGHTS: weights, CARD: card.encode()}
    for name, content in files.items():
        write_atomically(folder / name, content)


def _has_config(folder: Path) -> bool:
    """Return whether the config in a folder is one of `write_network`. Networks of other programs use the same names."""
    try:
        _, _, info = clean_config(parse_object((folder / CONFIG).read_bytes(), CONFIG))
    except (RunError, OSError):
        return False
    return info is not None
