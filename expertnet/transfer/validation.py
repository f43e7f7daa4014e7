"""Check the files of a run from an untrusted source, and rebuild each from what was understood.

The text of each RunError continues a sentence that begins with the name of the archive.
"""

import io
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from pydantic_core import from_json
from safetensors import SafetensorError, safe_open
from torch import Tensor

from expertnet.data.builtin import BUILTIN
from expertnet.data.class_folders import MAX_CLASSES
from expertnet.data.info import DatasetInfo
from expertnet.errors import RunError, SettingsError
from expertnet.network.model import ExpertNet
from expertnet.routing.effects import shapes as shapes_of
from expertnet.settings.fields import settings_from_dict
from expertnet.settings.schema import Settings
from expertnet.store.checkpoints import epoch_of
from expertnet.store.history import is_number, parse_history
from expertnet.store.status import ACTIVE_STATES, RESUMABLE_STATES, Status
from expertnet.transfer.format import MAX_HEADER, MAX_LINE, WEIGHTS_NAME
from expertnet.utils.files import to_json
from expertnet.utils.processes import Process
from expertnet.utils.text import JOINERS, printable

MAX_TEXT = 255  # characters of a name
STATES = ACTIVE_STATES | RESUMABLE_STATES | {"finished"}
SHARES = ("best_val_accuracy", "test_accuracy", "test_accuracy_mirrored", "test_accuracy_views")
DTYPES = {torch.float32: ("F32", "F16"), torch.int64: ("I64",)}  # allowed in a file; whatever reads it converts float16

_Tensors = dict[str, tuple[tuple[int, ...], str]]  # shape and dtype by name


def parse_object(content: bytes, name: str) -> dict[str, Any]:
    """Return the JSON object in a file called `name`. Raises RunError."""
    with suppress(ValueError):
        value = from_json(content, allow_inf_nan=False)
        if isinstance(value, dict):
            return value
    raise RunError(f"its {name} is damaged.")


def one_line(value: Any, most: int = MAX_TEXT) -> str:
    """Return at most `most` characters of text that any terminal and page can show, or "" if the value is not text."""
    return printable(value[:most].replace("\n", " "), JOINERS) if isinstance(value, str) else ""


def clean_text(content: bytes) -> bytes:
    """Return text of several lines without the characters that control a terminal."""
    return printable("\n".join(content.decode(errors="replace").splitlines()), keep="\n\t").encode()


def clean_config(config: Mapping[str, Any]) -> tuple[dict[str, Any], Settings, DatasetInfo | None]:
    """Return the known keys of a config.json, the settings, and the dataset if described. Raises RunError.

    Paths of images are reduced to a name. `shipped` is dropped, because it protects a run from changes.
    """
    try:
        settings = settings_from_dict(config)
    except SettingsError as error:
        raise RunError(f"its settings cannot be used: {one_line(str(error), 2000).rstrip('.')}.") from None
    data = settings.data.model_copy(update={"dataset": _portable(settings.data.dataset)})
    settings = settings.model_copy(update={"data": data})
    info = _clean_info(config["dataset"], settings) if config.get("dataset") is not None else None
    environment = config.get("environment")
    facts = list(environment.items())[:20] if isinstance(environment, dict) else []
    cleaned = {
        "name": one_line(config.get("name")),
        "preset": one_line(config.get("preset")),
        "created": _time(config.get("created")),
        **settings.model_dump(mode="json"),
        **({"dataset": info.to_dict()} if info else {}),
        "environment": {one_line(key): one_line(value) for key, value in facts},
    }
    return cleaned, settings, info


def _portable(dataset: str) -> str:
    """Return a dataset's name without a path, which could name other files on this computer."""
    if dataset in BUILTIN:
        return dataset
    name = re.sub(r"[^\w.() -]+", "_", re.split(r"[/\\]", dataset.rstrip("/\\"))[-1]).strip(". ")
    return f"imported/{name[:MAX_TEXT] or 'images'}"


def _clean_info(described: Any, settings: Settings) -> DatasetInfo:
    try:
        info = DatasetInfo.from_dict(described)
        name, fingerprint = one_line(info.name), one_line(info.fingerprint)
        classes = tuple(one_line(text) for text in info.classes)
        figures = [*info.mean, *info.std]
        sound = (
            0 < len(classes) <= MAX_CLASSES
            and len(set(classes)) == len(classes)
            and len(info.mean) == len(info.std) == 3
            and all(map(is_number, figures))
            and min(info.std) > 0
            and info.image_size == settings.data.image_size
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        sound = False
    if not sound:
        raise RunError("its config.json has an invalid description of the dataset.")
    return replace(info, name=name, classes=classes, fingerprint=fingerprint, content=one_line(info.content))


def _time(value: Any) -> str:
    """Return a creation time in UTC, or now if it is missing or invalid."""
    try:
        return datetime.fromisoformat(value).astimezone(UTC).isoformat(timespec="seconds")
    except (TypeError, ValueError, OverflowError):
        return datetime.now(UTC).isoformat(timespec="seconds")


def clean_status(record: Mapping[str, Any]) -> Status:
    """Return a status.json without its process. A run that was training becomes interrupted. Raises RunError."""
    try:
        status = Status.model_validate(record)
    except ValidationError:
        raise RunError("its status.json is damaged.") from None
    shares = [getattr(status, key) for key in SHARES]
    if status.state not in STATES or not all(share is None or 0 <= share <= 1 for share in shares):
        raise RunError("its status.json is damaged.")
    texts = {key: one_line(value, 2000) for key, value in status if isinstance(value, str)}
    status = status.changed(**texts).changed(
        process=Process(), activity="", activity_share=None, seconds_left=None, own_process=False, before=None
    )
    return status.changed(state="interrupted") if status.active else status


def clean_epochs(content: bytes, settings: Settings, epoch: int) -> bytes:
    """Return the known keys of a metrics.jsonl, in which no epoch up to the last may be missing. Raises RunError."""
    if max(map(len, io.BytesIO(content)), default=0) > MAX_LINE:
        raise RunError("its metrics.jsonl is damaged.")
    epochs, torn = parse_history(content)
    lines = list(epochs.values())
    blocks, experts = settings.model.num_blocks, settings.model.num_experts
    for line in lines:
        rows = [row for row in (line["routing_entropy"], line["routing_information"]) if row is not None]
        usage = line["expert_usage"]
        if any(len(row) != blocks for row in rows) or (usage and (len(usage), len(usage[0])) != (blocks, experts)):
            raise RunError("its metrics.jsonl belongs to another network than its settings.")
    numbers = list(epochs)
    if torn or numbers != list(range(1, len(numbers) + 1)) or len(numbers) < epoch:
        raise RunError("its metrics.jsonl is damaged.")
    return "".join(to_json(line) + "\n" for line in lines).encode()


def check_weights(folder: Path, names: list[str], settings: Settings, info: DatasetInfo | None) -> None:
    """Raise RunError unless the weights and routing tables fit the network that the settings describe."""
    if not names:
        return
    if info is None:
        raise RunError("it contains weights but no class names.")
    with torch.device("meta"):
        weights = ExpertNet(settings.model, len(info.classes)).state_dict()
    for name in names:
        match = WEIGHTS_NAME.fullmatch(name)
        assert match is not None  # as unzip.py has checked
        table, _, numbered = match.groups()
        found, epoch = _tensors(folder / name)
        if numbered and epoch != int(numbered):
            raise RunError(f"its {name} contains the weights of epoch {epoch}.")
        if not (_fit(found, weights) if table is None else _is_table(table, found, settings)):
            raise RunError(f"its {name} belongs to another network than its settings.")


def _fit(found: _Tensors, weights: Mapping[str, Tensor]) -> bool:
    """Return whether such tensors can be the weights of a network."""
    return found.keys() == weights.keys() and all(
        found[name][0] == weight.shape and found[name][1] in DTYPES[weight.dtype] for name, weight in weights.items()
    )


def _tensors(path: Path) -> tuple[_Tensors, int]:
    """Return the tensors of a file and its epoch. Raises RunError."""
    try:
        with path.open("rb") as content:
            if int.from_bytes(content.read(8), "little") > MAX_HEADER:
                raise ValueError("a header that would fill the memory")
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (the file is not a dict)
            found = {name: (tuple(each.get_shape()), each.get_dtype()) for name, each in slices.items()}
            return found, epoch_of(file.metadata())
    except (SafetensorError, OSError, ValueError):
        raise RunError(f"its {path.name} is damaged.") from None


def _is_table(table: str, found: _Tensors, settings: Settings) -> bool:
    """Return whether such tensors can be a cached result for N images. Whatever reads them checks their shapes and values."""
    blocks, experts = settings.model.num_blocks, settings.model.num_experts
    shapes = {name: shape for name, (shape, _) in found.items()}
    (*_, count) = shapes.get("labels") or shapes.get("changed") or (0,)
    what = table.partition("-")[0]
    if table == "routing":
        expected = {"routing": (count, blocks, experts), "labels": (count,), "predictions": (count,)}
    elif what in ("routings", "ablations"):
        expected = shapes_of(what, count, blocks, experts)
    elif table in ("policies", "silenced", "silenced-renormalised"):  # of earlier versions
        expected = {"changed": (6, count) if table == "policies" else (blocks, experts, count)}
    else:
        return True
    return count > 0 and math.prod((count, blocks, experts)) < 2**31 and shapes == expected
