"""Which classes a network takes for which."""

from functools import partial

import pandas as pd
import torch
from torch import Tensor

from expertnet.charts.heatmaps import confusion_matrix
from expertnet.evaluation.outputs import Outputs
from expertnet.findings.finding import Finding, cached
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
    counts_CC = torch.bincount(found.labels * number + found.predictions, minlength=number**2).view(number, number)
    share_CC = counts_CC.double() / counts_CC.sum(1, keepdim=True).clamp_min(1)
    true, answers = counts_CC.nonzero(as_tuple=True)  # as many as images at most, of a million cells for 1,000 classes
    table = pd.DataFrame(
        {
            "class": [classes[place] for place in true.tolist()],
            "answer": [classes[place] for place in answers.tolist()],
            "images": counts_CC[true, answers].tolist(),
            "share": share_CC[true, answers].tolist(),
        }
    )
    mistakes_CC = counts_CC - counts_CC.diag().diag()
    by_class = (mistakes_CC.sum(0) + mistakes_CC.sum(1)).argsort(descending=True, stable=True)[:DRAWN]
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
    sentence, chart = _sentence(counts_CC, mistakes_CC, classes, part), partial(confusion_matrix, shown, drawn, shares)
    return Finding(f"confusion-{part}", "confusion matrix", sentence, chart, table, method)


def _sentence(counts_CC: Tensor, mistakes_CC: Tensor, classes: tuple[str, ...], part: str) -> str:
    wrong, images = int(mistakes_CC.sum()), counted(int(counts_CC.sum()), f"{part} image")
    if not wrong:
        return f"No mistakes in {images}."
    place = int(mistakes_CC.argmax())
    true, answer = divmod(place, len(classes))
    most, said = int(mistakes_CC.max()), f"{counted(wrong, 'mistake')} in {images}."
    if most == 1 or int((mistakes_CC == most).sum()) > 1:  # no pair stands out
        return said
    of_class = f"{most:,} of {int(counts_CC[true].sum()):,} images"
    return f"{said} Most often, {classes[true]} is mistaken for {classes[answer]}: in {of_class}."
