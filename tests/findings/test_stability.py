"""What is said about how stable routing is."""

import torch

from expertnet.findings.stability import stability
from expertnet.routing.stability import AUGMENTED, VARIANTS, Stability
from tests.support.charts import drawn


def found(*moved, between):
    """How far augmentation, and how far noise moves every image in each block; other damage moves nothing."""
    count, blocks = 100, len(between)
    tensor = torch.zeros(len(VARIANTS), count, blocks)
    tensor[VARIANTS.index(AUGMENTED)], tensor[VARIANTS.index("noise")] = (torch.tensor(each) for each in moved)
    return Stability("validation", torch.zeros(count), tensor, torch.tensor(between).expand(count, -1))


def test_distances_are_shares_of_that_between_images():
    finding = stability(found([0.02, 0.1], [0.3, 0.4], between=[0.4, 0.5]), (2, 5))
    assert finding.sentence == (
        "Cropping and mirroring as in training moves an image's weights by 5% to 20% of the distance between two images, depending on "
        "the block. Of the kinds of damage, noise moves them the farthest, in block 5: by 80% (95%: 80% to 80%)."
    )
    rows, layers = drawn(finding.chart)
    assert {row["share"] for row in rows if row["variant"] == "noise"} == {0.75, 0.8} or layers
    assert finding.table.loc[finding.table["variant"] == "noise", "share"].round(6).tolist() == [0.75, 0.8]


def test_blocks_that_treat_all_images_alike_are_left_out():
    some = stability(found([0.02, 0.0], [0.3, 0.0], between=[0.4, 0.001]), (2, 5))
    assert some.sentence.endswith("Left out, since their weights hardly differ between images: block 5.")
    assert "by 5% of the distance between two images." in some.sentence
    none = stability(found([0.0], [0.0], between=[0.0]), (3,))
    assert none.sentence.startswith("The weights of block 3 hardly differ between images") and none.chart is None
