"""Whether networks that only the seed sets apart route alike: what does not repeat is an accident of one training."""

from collections.abc import Mapping
from functools import partial
from statistics import mean

import pandas as pd

from expertnet.charts.effects import change_dots
from expertnet.charts.heatmaps import share_heatmap
from expertnet.findings.agreement import agreement
from expertnet.findings.experts import what_blocks_do
from expertnet.findings.finding import Finding, cached, in_words
from expertnet.findings.reliance import NORMS
from expertnet.inference.mistakes import Part
from expertnet.inference.routing_cache import Routed, cached_routing, load_own_test_set, route_test_set
from expertnet.network.controls import LEARNED
from expertnet.routing.chance import LEVEL
from expertnet.routing.effects import Routings, load_images, parts
from expertnet.routing.lab import Lab, matched, open_lab
from expertnet.routing.policies import ROUTINGS, policy_table
from expertnet.routing.retrained import difference
from expertnet.store.checks import has_network
from expertnet.store.run import Run
from expertnet.training.controls import Plan
from expertnet.utils.progress import Report, ShouldStop, never, silent
from expertnet.utils.text import bounds, counted, percent, signed

Measured = tuple[Routed | None, Routings | None]
Labs = tuple[tuple[int, Lab], ...]  # by seed, that of the network itself first


def learned_runs(plan: Plan) -> dict[int, Run]:
    """Return the finished networks with learned routing, by seed, that of the network itself first."""
    finished = {
        trial.seed: trial.row.run for trial in plan.trials if trial.arm == LEARNED and trial.finished and trial.row
    }
    return {seed: run for seed, run in finished.items() if has_network(run)}


def measure_each(
    runs: Mapping[int, Run], progress: Report = silent, cancelled: ShouldStop = never, threads: int | None = None
) -> list[Finding] | None:
    """Return what the seeds have in common, after a look at the test images with each network; None unless there are two.

    What is kept with a run is not measured again. Raises DatasetError if the images are gone, and Cancelled.
    """
    measured: dict[int, Measured] = {}
    for seed, run in runs.items():

        def report(activity: str, share: float | None, seed: int = seed) -> None:
            progress(f"Seed {seed}: {activity[0].lower()}{activity[1:]}", share)

        routed = route_test_set(run, load_own_test_set(run, report), "best", report, threads, cancelled)
        part = parts(run)[0]
        relied = ROUTINGS.cached(run, part) or ROUTINGS.measure(
            run, load_images(run, part, report), "best", report, cancelled, threads
        )
        measured[seed] = routed, relied
    return _in_common(runs, measured)


def findings_over_seeds(runs: Mapping[int, Run]) -> list[Finding] | None:
    """Return what the seeds have in common, if it was measured before; None unless there are two, and all are kept."""
    kept = {seed: (cached_routing(run), ROUTINGS.cached(run, parts(run)[0])) for seed, run in runs.items()}
    return _in_common(runs, kept)


def _in_common(runs: Mapping[int, Run], measured: Mapping[int, Measured]) -> list[Finding] | None:
    labs, routings = [], []
    for seed, run in runs.items():
        (here, found), info = measured[seed], run.dataset_info()
        if here is None or found is None or info is None:
            return None
        labs.append((seed, open_lab(here, info.classes)))
        routings.append((seed, found))
    return [alike(tuple(labs)), reliance(tuple(routings))] if len(labs) > 1 else None


@cached
def alike(labs: Labs) -> Finding:
    """Compare the routing of each block over the seeds, with the experts of the others matched to those of the first."""
    (first, own), *others = labs
    tables = []
    for seed, lab in labs:
        table = lab.blocks[["block", "verdict", "share", "low", "high", "effective"]].assign(seed=seed)
        if seed != first:
            table = table.merge(agreement(own, matched(lab, own)).table.drop(columns="difference_of_class_means"))
        tables.append(table.assign(verdict=table["verdict"].str.partition(":")[0]))
    table = pd.concat(tables).sort_values(["block", "seed"], kind="stable", ignore_index=True)
    table.insert(1, "seed", table.pop("seed"))
    sentence = f"{_kinds(table, len(labs))} {_agreement(table, first, len(others))}"
    method = (
        "Networks with the same settings, images and learned routing, which differ only by the seed (initial weights, order, augmentation, "
        "validation split). The chart shows what an expert drawn by the weights reveals about a test image, as a share of ln K: 0% if all "
        "images get the same weights. Verdicts and shares are those of the chart of routing kinds. "
        f"Agreement is the share of test images in which the same expert has the largest weight as with seed {first}, after the "
        "experts have been matched. If two networks had nothing in common, the probability that any block passes its limit of chance is "
        f"{percent(LEVEL, 0)}, for each seed by itself."
    )
    described = "What an expert drawn by the weights reveals about the image, by block and seed, as a share of its most"
    chart = partial(
        share_heatmap, table.assign(seed=table["seed"].astype(str)), "block", "seed", "share of ln K", described
    )
    shares = ("share", "low", "high", "agreement", "by_chance", "excess", "limit_of_chance")
    table = table.rename(columns={"effective": "effective experts"})
    return Finding("seeds", "chart of seeds", sentence, chart, table, method, shares)


def _kinds(table: pd.DataFrame, seeds: int) -> str:
    """Say which blocks do the same with every seed, and what the others do."""
    kinds = {
        block: table[table["block"] == block]["verdict"].value_counts() for block in table["block"].unique().tolist()
    }
    same = [(block, str(counts.index[0])) for block, counts in kinds.items() if len(counts) == 1]
    said = what_blocks_do(same) if same else ""
    differ = [
        f"What block {block} does depends on the seed: {', '.join(f'{kind} with {number}' for kind, number in counts.items())}."
        for block, counts in kinds.items()
        if len(counts) > 1
    ]
    return " ".join(
        [f"With all {seeds} seeds, {said[0].lower()}{said[1:]}" if same else f"With {seeds} seeds:", *differ]
    )


def _agreement(table: pd.DataFrame, first: int, others: int) -> str:
    """Say in which blocks the experts of the other seeds match those of the first one beyond chance."""
    if "agreement" not in table:
        return "They do not certainly have the same test images in the same order, so single images are not compared."
    above = table[table["agreement"] > table["limit_of_chance"]]
    measured = table.dropna(subset="agreement")
    compared = measured["seed"].nunique()
    rest = (
        f" {counted(others - compared, 'seed')} may have other test images and cannot be compared."
        if compared < others
        else ""
    )
    if above.empty:
        none = "no other seed" if compared == others else f"none of {counted(compared, 'other seed')}"
        return f"The experts of {none} match those of seed {first} beyond chance.{rest}"
    counts = above["block"].value_counts()
    number = f"{'at least ' if counts.nunique() > 1 else ''}{counts.min()} of {counted(compared, 'other seed')}"
    return (
        f"The experts of {number} match those of seed {first} beyond chance in {in_words(sorted(map(int, counts.index)))}. On average over "
        f"all blocks and seeds, the same expert has the largest weight for {percent(measured['agreement'].mean())} of the images, where "
        f"chance gives {percent(measured['by_chance'].mean())}.{rest}"
    )


@cached
def reliance(measured: tuple[tuple[int, Routings], ...]) -> Finding:
    """Say whether networks of this kind rely on the routing of single images, over the seeds."""
    part: Part = measured[0][1].part
    tables = [policy_table(found).set_index("policy").loc[["mean"]].assign(seed=seed) for seed, found in measured]
    table = pd.concat(tables)[["seed", "accuracy", "change", "low", "high", "as_shipped"]].reset_index(drop=True)
    relying = int((table["high"] < 0).sum())
    changes = table["change"].tolist()
    found, average = difference(changes), f"{signed(mean(changes))} points on average"
    interval = f" (95% over the seeds: {bounds(found.low, found.high)})" if found else ""
    sentence = (
        f"With {relying} of {counted(len(table), 'seed')}, the network measurably relies on per-image routing: mean weights change its "
        f"accuracy on the {part} images by {average}{interval}."
    )
    method = (
        f"For each seed, the change in accuracy if every image gets the mean weights of the training images, on the {part} images of "
        "that seed. The interval of a seed is that of Agresti and Min (2005), over images; the one over the seeds is Student's t. "
        f"{NORMS}"
    )
    drawn = table.assign(routing=[f"seed {seed}" for seed in table["seed"]])
    chart = partial(change_dots, drawn, "Change in accuracy with mean weights by seed, with intervals")
    shares = ("accuracy", "change", "low", "high", "as_shipped")
    return Finding("reliance-by-seed", "chart of reliance by seed", sentence, chart, table, method, shares)
