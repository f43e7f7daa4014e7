"""The weights that a run starts from (`model.start_from`): those of another run's best checkpoint, but for the classifier's.

They are copied into the folder of the new run when it is created, and deleted with its first commit. A sweep keeps a copy for its
trials. So the other run may be deleted or trained on at any time. Related work: Yosinski 2014 (arXiv:1411.1792).
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from expertnet.errors import RunError
from expertnet.settings.fields import display_value
from expertnet.settings.schema import Settings
from expertnet.store.checks import check_network, load_weights
from expertnet.store.run import Run
from expertnet.utils.files import write_atomically

FILE = "start.safetensors"
FREE = {
    "start_from",
    "head",
    "dirac",
    "balance",
    "norm_momentum",
}  # settings of the network that the copied weights outlast


def refuse_misfit(source: Run, settings: Settings) -> None:
    """Raise RunError unless `source` has a trained network whose weights fit the network of these settings."""
    check_network(source)
    own = source.settings()
    pairs = [("data.image_size", own.data.image_size, settings.data.image_size)]
    for name, value in own.model:
        if name not in FREE:
            pairs.append((f"model.{name}", value, getattr(settings.model, name)))
    for key, theirs, ours in pairs:
        if theirs != ours:
            raise RunError(
                f"The weights of run {source.title} do not fit: its `{key}` is {display_value(theirs)}, and yours is "
                f"{display_value(ours)}. Use its settings of the network, or set `model.start_from` to another run or to nothing."
            )


def copy_start(source: Run, folder: Path) -> None:
    """Write the weights to start from to the folder of a run or a sweep that is being created. Raises RunError or OSError."""
    weights, _ = load_weights(source, "best")
    trunk = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
    write_atomically(folder / FILE, save(at_temperature_one(trunk), {"run": source.id}))


def at_temperature_one(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with the same softmax routing whose routers have the temperature 1, as a new training expects."""
    found = dict(weights)
    for name in [name for name in weights if name.endswith(".temperature")]:
        for part in ("weight", "bias"):
            last = name.replace(".temperature", f".route.{part}")
            found[last] = weights[last] / weights[name]
        found[name] = torch.ones_like(weights[name])
    return found


def start_weights(run: Run) -> dict[str, Tensor] | None:
    """Return the weights to start from, None if the run starts afresh. Raises RunError if they are missing or damaged."""
    if not run.settings().model.start_from:
        return None
    try:
        return load_file(run.path / FILE)
    except (OSError, SafetensorError):
        raise RunError(
            f"The weights that run {run.name} starts from are missing or damaged. Start a new run with its settings."
        ) from None


def forget_start(run: Run) -> None:
    """Delete the weights to start from, which a run does not need once its first state is saved."""
    (run.path / FILE).unlink(missing_ok=True)
