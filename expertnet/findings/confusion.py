"""Which classes a network takes for which."""

from functools import partial

import pandas as pd
import torch

from expertnet.charts.heatmaps import confusion_matrix
from expertnet.evaluation.outputs import Outputs
from expertnet.findings.finding import Finding, cached, highest
from expertnet.inference.mistakes import Mistakes
from expertnet.inference.routing_cache import Routed
from expertnet.utils.text import counted

DRAWN = 20  # classes


@cached
def confusion(found: Mistakes | Routed | Outputs, classes: tuple[str, ...], part: str, shares: bool = False) -> Finding:
    """Show how often each class is taken for each in the "test" or "validation" images, which is `part`.

    With `shares`, the numbers on the cells are shares of the class's images.
    """
    number = len(classes)
    # Only the pairs that occur: a cell for every pair of 10,000 classes would take gigabytes
    pairs_M, counts_M = (found.labels * number + found.predictions).unique(return_counts=True)
    true_M, answers_M = pairs_M // number, pairs_M % number
    sizes_C = found.labels.bincount(minlength=number)
    table = pd.DataFrame(
        {
            "class": [classes[place] for place in true_M.tolist()],
            "answer": [classes[place] for place in answers_M.tolist()],
            "images": counts_M.tolist(),
            "share": (counts_M.double() / sizes_C[true_M]).tolist(),
        }
    )
    mistakes_M = counts_M * (true_M != answers_M)
    mistakes_C = torch.zeros_like(sizes_C).index_add_(0, true_M, mistakes_M).index_add_(0, answers_M, mistakes_M)
    by_class = mistakes_C.argsort(descending=True, stable=True)[:DRAWN]
    drawn = [classes[place] for place in sorted(by_class.tolist())]
    shown = table[table["class"].isin(drawn) & table["answer"].isin(drawn)]
    method = (
        f"Counts the {part} images of each class (rows) by the network's answer (columns). Blue cells are right answers. The share is "
        "that of the class's images. Cells without images are left out."
    ) + (
        f" The chart shows the {DRAWN} classes with the most mistakes; the table has them all."
        if number > DRAWN
        else ""
    )
    sentence, chart = _sentence(table, part), partial(confusion_matrix, shown, drawn, shares)
    return Finding(f"confusion-{part}", "confusion matrix", sentence, chart, table, method)


def _sentence(table: pd.DataFrame, part: str) -> str:
    mistakes = table[table["class"] != table["answer"]]
    wrong, images = int(mistakes["images"].sum()), counted(int(table["images"].sum()), f"{part} image")
    if not wrong:
        return f"No mistakes in {images}."
    top, said = highest(mistakes, "images"), f"{counted(wrong, 'mistake')} in {images}."
    most, true = int(top["images"]), top["class"]
    if most == 1 or int((mistakes["images"] == most).sum()) > 1:  # no pair stands out
        return said
    of_class = f"{most:,} of {table.loc[table['class'] == true, 'images'].sum():,} images"
    return f"{said} Most often, {true} is mistaken for {top['answer']}: in {of_class}."
