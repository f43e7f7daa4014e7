"""How far two networks route the same images in the same way."""

import pandas as pd

from expertnet.findings.finding import Finding, cached
from expertnet.routing.chance import LEVEL
from expertnet.routing.lab import Lab, same_images
from expertnet.routing.similarity import AGREEMENTS, agreement_table
from expertnet.utils.text import counted, percent


@cached
def agreement(lab: Lab, other: Lab) -> Finding:
    """Compare two networks block by block. `other` is matched to `lab` (see `matched`)."""
    places = [block - 1 for block in lab.block_numbers]
    difference = (lab.profiles - other.profiles).abs().sum(2).nanmean(0)[places] / 2  # classes without images are NaN
    table = pd.DataFrame({"block": lab.block_numbers})
    method = (
        "Difference of class means: the total variation distance between the mean weights of a class in the two runs "
        "(0: equal, 1: no overlap), averaged over the classes."
    )
    if same_images(lab, other):
        table = table.join(agreement_table(lab.routing, other.routing).drop(columns="block"))
        above = table[table["agreement"] > table["limit_of_chance"]]
        sentence = f"Both networks favor the same expert more often than chance explains in {len(above)} of {counted(len(table), 'block')}."
        if len(above):
            most = above.iloc[int(above["excess"].argmax())]
            sentence += (
                f" They agree most beyond chance in block {most['block']:.0f}: on {percent(most['agreement'])} of the images, "
                f"where chance gives {percent(most['by_chance'])}."
            )
        method += (
            " Agreement: the share of test images in which the same expert has the largest weight. Some agreement comes from "
            "unequal use of the experts and from matching them. By chance is the mean agreement if the images of the second run are "
            f"shuffled and its experts matched again ({AGREEMENTS} times), and excess the difference from it. If the two had nothing in "
            f"common, the probability that any block passes its limit of chance is {percent(LEVEL, 0)} (Westfall and Young's maxT)."
        )
    else:
        sentence = "The runs may have different test images, so only the mean weights of their classes are compared."
    table["difference_of_class_means"] = difference.tolist()
    shares = ("agreement", "by_chance", "excess", "limit_of_chance")
    return Finding("agreement", "table of agreement", sentence, None, table, method, shares)
