"""A card for one expert, to share: what it prefers, what it changes, and what is lost without it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import product
from pathlib import Path

import pandas as pd
from torch import Tensor

from expertnet.data.data_url import to_data_url
from expertnet.findings.experts import examples
from expertnet.findings.finding import Finding
from expertnet.findings.reliance import ablation
from expertnet.inference.predictor import Predictor
from expertnet.routing.effects import KINDS, Ablations
from expertnet.routing.lab import Lab
from expertnet.routing.paired import SIGNIFICANT
from expertnet.store.run import Run
from expertnet.utils.files import write_atomically
from expertnet.utils.text import bounds, counted, percent, signed

IMAGES = 8  # with the largest, and with the smallest weights
PAIRS = 3  # changes of the answer that are named
ABOUT = (
    "Preferences are those in the test set. Switched off: the expert's weight becomes 0 and the others grow to sum to 1. Replaced by "
    "its mean: what it adds to the mix is the same for every image. After both, the batch norms are estimated again on training images "
    "(Wu and Johnson 2021). Intervals are those of Agresti and Min (2005), with Bonferroni's correction for the number of experts."
)
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 42rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.4rem 0 .3rem; } p { margin: .3rem 0; }
.images { display: flex; flex-wrap: wrap; gap: .5rem; } figure { margin: 0; font-size: .8rem; text-align: center; }
img { width: 72px; height: 72px; image-rendering: pixelated; border-radius: 4px; display: block; }
footer, .of { opacity: .75; font-size: .85rem; }
"""


@dataclass(frozen=True)
class Card:
    """The texts of a card, plain and without markup, and the test images (from 0) on it with their weights."""

    title: str
    prefers: str
    changes: str
    lost: str
    largest: list[tuple[int, float]]
    smallest: list[tuple[int, float]]


def expert_card(lab: Lab, block: int, expert: int, effects: Ablations | None) -> Card:
    """Return the card of an expert. Without the effects of its ablation, the card says that they were not measured."""
    found = examples(lab, block, expert, IMAGES)
    largest, smallest = (
        [(place, found.weights_N[place].item()) for place in each] for each in (found.largest, found.smallest)
    )
    unknown = "Not measured. Switch off each expert in the view What if, or write a report with the command line."
    changes, lost = (
        (unknown, unknown)
        if effects is None
        else (_changes(lab, effects, block, expert), _lost(lab, effects, block, expert))
    )
    return Card(f"Expert {expert} of block {block}", found.sentence, changes, lost, largest, smallest)


def _changes(lab: Lab, effects: Ablations, block: int, expert: int) -> str:
    """Say how many answers change if the expert is switched off, and from which class to which."""
    flipped, images = effects.flipped("zero", block, expert), f"{len(effects.labels):,} {effects.part} images"
    if not flipped:
        return f"Switched off, it changes no answer on the {images}."
    before, after = effects.learned[1, flipped], effects.without("zero", block, expert)[flipped]
    was, now = (int((answers == effects.labels[flipped]).sum()) for answers in (before, after))
    pairs = Counter(zip(before.tolist(), after.tolist(), strict=True)).most_common(PAIRS)
    named = ", ".join(f"{lab.classes[a]} becomes {lab.classes[b]} ({count:,})" for (a, b), count in pairs)
    return (
        f"Switched off, it changes the answer for {len(flipped):,} of the {images}: {was:,} of them were right before, {now:,} are right "
        f"after. The most frequent changes: {named}."
    )


def _lost(lab: Lab, effects: Ablations, block: int, expert: int) -> str:
    """Say what each ablation does to the accuracy, with the interval for all experts together."""
    parts = []
    for kind, doing in KINDS.items():
        table = ablation(effects, kind, lab.block_numbers).table
        row = table[(table["block"] == block) & (table["expert"] == expert)].iloc[0]
        chance = "" if row["p"] <= SIGNIFICANT else ", which chance may explain"
        interval = f"95%: {bounds(row['low'], row['high'])}"
        parts.append(
            f"{doing.capitalize()}, it changes the accuracy by {signed(row['change'])} points ({interval}){chance}."
        )
    count = counted(len(lab.block_numbers) * lab.num_experts, "expert")
    return f"{' '.join(parts)} The intervals hold for all {count} together."


def network_in_words(run: Run, predictor: Predictor) -> str:
    """Return the name, the epoch and, if it was measured with these weights, the accuracy of a network, as a card shows them."""
    accuracy = run.status().test_accuracy if predictor.epoch == run.tested_epoch else None
    right = "" if accuracy is None else f", {percent(accuracy)} of the test images right"
    return f"{run.title} ({run.id}), {predictor.info.name}, epoch {predictor.epoch}{right}"


def to_html(card: Card, of: str, images: Tensor | None) -> str:
    """Return a card as a page without other files. `of` names the network.

    `images` are the uint8 test images (N, 3, S, S); without them, the card shows their numbers.
    """
    sections = [f"<h2>What it prefers</h2><p>{escape(card.prefers)}</p>"]
    for title, chosen in (("Largest weights", card.largest), ("Smallest weights", card.smallest)):
        if chosen:
            sections.append(f"<p>{title}</p><div class=images>{''.join(_figures(chosen, images))}</div>")
    sections += [
        f"<h2>{title}</h2><p>{escape(text)}</p>"
        for title, text in (("What it changes", card.changes), ("What is lost without it", card.lost))
    ]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(card.title)}</title><style>{STYLE}</style><body><h1>{escape(card.title)}</h1><p class=of>{escape(of)}</p>"
        f"{''.join(sections)}<footer><p>{escape(ABOUT)}</p></footer></body></html>\n"
    )


def _figures(chosen: Sequence[tuple[int, float]], images: Tensor | None) -> list[str]:
    figures = []
    for place, weight in chosen:
        name = f"Test image {place + 1}"
        shown = name if images is None else f"<img alt='{name}' src='{to_data_url(images[place])}'>"
        figures.append(f"<figure>{shown}<figcaption>{weight:.2f}</figcaption></figure>")
    return figures


def cards(lab: Lab, effects: Ablations | None) -> Finding:
    """List what the card of every expert says."""
    rows = []
    for block, expert in product(lab.block_numbers, range(1, lab.num_experts + 1)):
        card = expert_card(lab, block, expert, effects)
        rows.append(
            {"block": block, "expert": expert, "prefers": card.prefers, "changes": card.changes, "lost": card.lost}
        )
    count, first = counted(len(rows), "expert"), file_name(lab.block_numbers[0], 1)
    method = (
        f"A page for each expert, with its images, is beside the table: {first} and so on, by block and expert. {ABOUT}"
    )
    return Finding("experts", "table of cards", f"Cards to share for {count}.", None, pd.DataFrame(rows), method)


def write_cards(lab: Lab, effects: Ablations | None, of: str, images: Tensor | None, folder: Path) -> list[Path]:
    """Write a page for each expert into a folder. `of` and `images` are those of `to_html`."""
    written = []
    for block, expert in product(lab.block_numbers, range(1, lab.num_experts + 1)):
        written.append(folder / file_name(block, expert))
        write_atomically(written[-1], to_html(expert_card(lab, block, expert, effects), of, images).encode())
    return written


def file_name(block: int, expert: int) -> str:
    """Return the name of a card's file."""
    return f"expert-{block}-{expert}.html"
