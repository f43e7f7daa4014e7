"""`expertnet settings`: the settings that `expertnet train --set` accepts."""

from typing import Annotated

import typer

from expertnet.cli.options import Json
from expertnet.cli.output import print_result
from expertnet.settings.fields import build_settings, flat, setting_fields
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.settings.schema import format_value


def settings(
    preset: Annotated[str, typer.Option(metavar="NAME", help=f"Preset: {', '.join(PRESETS)}.")] = DEFAULT_PRESET,
    as_json: Json = False,
) -> None:
    """List the settings that --set accepts.

    Each line has the value in the preset and the values that are allowed.
    """
    values = flat(build_settings(preset))
    rows = [
        {"setting": field.key, "value": values[field.key], "takes": field.allowed, "help": field.help}
        for field in setting_fields()
    ]
    assignments = [f"{row['setting']}={format_value(row['value'])}" for row in rows]
    width = max(map(len, assignments))
    print_result(
        as_json, rows, (f"{text:<{width}}  {row['takes']}" for text, row in zip(assignments, rows, strict=True))
    )
