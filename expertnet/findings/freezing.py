"""What routing in each single block is worth to a trained network."""

from functools import partial

import pandas as pd

from expertnet.charts.effects import change_dots
from expertnet.findings.finding import Finding, cached, in_words
from expertnet.findings.reliance import NORMS, RELIES, TELLING
from expertnet.routing.ablations import costly, gaining
from expertnet.routing.effects import AVERAGED
from expertnet.routing.freezing import Frozen, freezing_table
from expertnet.routing.paired import DRAWS, paired_change
from expertnet.utils.text import counted, points, signed


@cached
def freezing(frozen: Frozen, blocks: tuple[int, ...]) -> Finding:
    """Compare the losses of accuracy if one block at a time gives every image the mean weights."""
    table = freezing_table(frozen, blocks)
    method = (
        "One block at a time gives every image the same weights: the mean of its weights over at most "
        f"{AVERAGED:,} training images. The other blocks keep their routers, which see what the changed block puts out. The change in "
        f"accuracy on {len(frozen.labels):,} {frozen.part} images is from the network's own routing, and compares each image with itself. "
        "The intervals (lines) are those of Agresti and Min (2005) with Bonferroni's correction: at 95% for all blocks together. p is "
        f"the probability that chance alone makes the effect of any block as large, by {DRAWS} random flips of the images' signs (maxT, "
        "Westfall and Young 1993). A block's routing matters if its p is at most 0.05; the interval is more cautious and may hold 0. A "
        "block costs the most if the interval of its difference from the next one excludes 0. The losses of single blocks need not add up "
        f"to the loss with mean weights in all of them, since one block can stand in for another. {NORMS} {RELIES}"
    )
    drawn = table.assign(routing=[f"block {block}" for block in table["block"]])
    chart = partial(change_dots, drawn, "Change in accuracy with mean weights in one block, with intervals")
    return Finding("frozen", "chart of frozen blocks", _sentence(frozen, table), chart, table, method)


def _sentence(frozen: Frozen, table: pd.DataFrame) -> str:
    """Say in which blocks freezing costs accuracy, in which one the most as far as the data show, and in which it makes no difference."""
    lost, won, images = costly(table), gaining(table), f"the {len(frozen.labels):,} {frozen.part} images"
    better = [f"With mean weights, the network is better in {in_words([*won['block']])}."] if len(won) else []
    if lost.empty:
        most = points(min(table["low"].min(), 0.0))
        cost = f"weights in any single block cost at most {most} on {images}"
        said = f"No block's routing matters measurably by itself: mean {cost}"
        if better:  # so that routing does matter there
            said = f"Mean {cost}"
        elif (table["high"] - table["low"]).max() > TELLING:
            few = counted(len(frozen.labels), "image")
            said = f"{few} are too few to tell which block's routing matters: at most {most} are lost"
        return " ".join([f"{said} (95% for all blocks together).", *better])
    first = lost.iloc[0]
    costs = f"Mean weights in block {first['block']:.0f} alone cost"
    loss = f"{points(first['change'])} on {images}"
    following = table[table["block"] != first["block"]].sort_values("change", kind="stable")
    if following.empty:
        sentence = f"{costs} {loss}."
    elif _told_apart(frozen, lost.index[0], following.index[0]):
        sentence = f"{costs} the most: {loss}."
    else:
        other = following.iloc[0]
        change = f"block {other['block']:.0f} ({signed(other['change'])} points)"  # which may be a gain
        sentence = f"{costs} {loss}, which is indistinguishable from the change for {change}."
    more = [f"They also cost accuracy in {in_words(sorted(lost['block'].iloc[1:]))}."] if len(lost) > 1 else []
    rest = table[~table["block"].isin([*lost["block"], *won["block"]])]
    apart = ", one block at a time" if len(rest) > 1 else ""
    same = [f"In {in_words([*rest['block']])}, they make no measurable difference{apart}."] if len(rest) else []
    return " ".join([sentence, *more, *same, *better])


def _told_apart(frozen: Frozen, first: int, second: int) -> bool:
    """Return whether one block (its place in the answers) costs more than another one, beyond chance."""
    return paired_change(frozen.labels, frozen.answers[1, second], frozen.answers[1, first])["high"] < 0
