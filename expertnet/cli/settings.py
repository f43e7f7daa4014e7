"""`expertnet settings`: everything that --set takes."""

from __future__ import annotations

from typing import Annotated

import typer

from expertnet.cli.options import Json
from expertnet.cli.output import give
from expertnet.settings.fields import build_settings, flat, setting_fields
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.settings.schema import format_value


def settings(
    preset: Annotated[str, typer.Option(help="Whose values are shown: " + ", ".join(PRESETS) + ".")] = DEFAULT_PRESET,
    as_json: Json = False,
) -> None:
    """List the settings that --set takes, with a preset's values.

    Beside each stands what it accepts.
    """
    values = flat(build_settings(preset))
    rows = [
        {"setting": field.key, "value": values[field.key], "takes": field.allowed, "help": field.help}
        for field in setting_fields()
    ]
    written = [f"{row['setting']}={format_value(row['value'])}" for row in rows]
    width = max(map(len, written))
    give(as_json, rows, lambda: [f"{words:<{width}}  {row['takes']}" for words, row in zip(written, rows, strict=True)])
