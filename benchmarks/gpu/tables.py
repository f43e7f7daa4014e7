"""The tables of docs/benchmarks.md, from the rows."""

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks import rows as accuracies
from benchmarks.gpu.plan import NETWORKS, PRESETS, speed_name
from benchmarks.gpu.speed import WAYS

NOT_MEASURED = "not measured"
Line = Mapping[str, Any]


def tables(lines: Iterable[Line]) -> str:
    """Return all tables as Markdown. What was not measured says so. Of equal rows, the last counts."""
    lines = list(lines)
    trainings = [line for line in lines if line["row"].startswith("train ")]
    others = [line for line in lines if line not in trainings]
    parts = []
    for device, version in dict.fromkeys((line["device"], line["torch"]) for line in others) or [("GPU", "")]:
        own = [line for line in others if (line["device"], line["torch"]) == (device, version)]
        for data in dict.fromkeys(line["data"] for line in own if "data" in line) or [""]:
            parts += _device(device, {line["row"]: line for line in own if line.get("data", data) == data})
    return "\n\n".join([*parts, *_trainings(trainings)])


def _device(device: str, rows: dict[str, Line]) -> list[str]:
    ways = []
    for preset in PRESETS:
        measured = any(speed_name(preset, way) in rows for way in WAYS)
        ways += [_way(rows, preset, way) for way in (WAYS if measured else ["every way"])]
    heads = [
        "Network",
        "Way to train",
        "Images/s",
        "Times the ordinary loop",
        "50,000 images",
        "Share of the matrix ceiling",
    ]
    heads += ["Share of the copy ceiling", "First step", "GPU memory"]
    return [f"### Speed: {device}", _caption(rows), _markdown(heads, ways)]


def _caption(rows: dict[str, Line]) -> str:
    """Say what the device computes right, what its ceilings are, and which images were used."""
    checked = [f"`{preset}`" for preset in PRESETS if f"correct {preset}" in rows]
    sentences = [f"Agrees with a CPU in float64 within the limits of METHOD.md: {', '.join(checked) or NOT_MEASURED}."]
    recorded = {
        preset: rows[f"record {preset}"]["figures"]["recorded"] for preset in PRESETS if f"record {preset}" in rows
    }
    if recorded:
        errors = ", ".join(f"{errors['step']:.0e} (`{preset}`)" for preset, errors in recorded.items())
        sentences.append(f"Relative error of recorded steps: {errors}.")
    if "ceilings" in rows:
        ceilings = rows["ceilings"]["figures"]
        product, copied = ceilings["matmul_flops"] / 1e12, ceilings["copy_bytes"] / 1e12
        sentences.append(f"Ceilings: {product:.0f} TFLOP/s in bf16, {copied:.2f} TB/s read and written.")
    else:
        sentences.append(f"Ceilings: {NOT_MEASURED}.")
    images = sorted({f"{line['data']} ({line['images'][:8]})" for line in rows.values() if "data" in line})
    used = [*images, *sorted({f"torch {line['torch']}" for line in rows.values()})]
    pages = "\n".join(rows["pages"]["figures"]["printed"]) if "pages" in rows else ""
    live = f"\n\nLive pages (`benchmarks.watching`):\n\n```\n{pages}\n```" if pages else f" Live pages: {NOT_MEASURED}."
    return " ".join([*sentences, *([f"{', '.join(used)}."] if used else [])]) + live


def _way(rows: dict[str, Line], preset: str, way: str) -> list[str]:
    if speed_name(preset, way) not in rows:
        return [f"`{preset}`", way, NOT_MEASURED, *[""] * 6]
    line = rows[speed_name(preset, way)]
    figures, speed = line["figures"], line["figures"]["images_per_second"]
    ordinary, ceilings = rows.get(speed_name(preset, "ordinary loop")), rows.get("ceilings")
    shares = [NOT_MEASURED] * 2
    if ceilings:
        limits = ceilings["figures"]
        reached = (
            speed * figures["flops_per_image"] / limits["matmul_flops"],
            speed * figures["bytes_per_image"] / limits["copy_bytes"],
        )
        shares = [f"{share:.1%}" for share in reached]
    return [
        f"`{preset}`",
        way,
        f"{speed:,.0f} ({figures['slowest']:,.0f} to {figures['fastest']:,.0f}, n = {line['n']})",
        f"{speed / ordinary['figures']['images_per_second']:.2f}" if ordinary else NOT_MEASURED,
        f"{50_000 / speed:.2f} s",
        *shares,
        f"{figures['first_step_seconds']:.1f} s",
        f"{figures['peak_bytes'] / 2**30:.1f} GiB" if figures["peak_bytes"] else NOT_MEASURED,
    ]


def _trainings(lines: list[Line]) -> list[str]:
    """Return the accuracies as benchmarks.rows does, and the seconds of whole epochs."""
    seconds = []
    for network in NETWORKS:
        own = [line for line in lines if line["row"].startswith(f"train {network} learned ")]
        cells = [f"{line['figures']['epoch_seconds']:.2f} s ({line['device']})" for line in own]
        seconds.append([f"`{network}`", ", ".join(cells) or NOT_MEASURED])
    parts = ["### Trainings on a GPU", _markdown(["Network and recipe", "Median epoch, with its evaluation"], seconds)]
    return [*parts, accuracies.tables(line["figures"] for line in lines)] if lines else parts


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])
