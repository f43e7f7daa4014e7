"""The findings on any torch module, and its report."""

import pytest
import torch
from torch import nn

from expertnet.data.splits import Split
from expertnet.errors import RunError
from expertnet.findings.any_network import findings_on, write_report_on
from expertnet.routing.any_network import AnyNetwork, Layer
from expertnet.routing.effects import Images

LABELS = torch.arange(200) % 4
SPLIT = Split(torch.eye(4)[LABELS], LABELS)
IMAGES = Images("test", SPLIT, SPLIT)


def network():
    """Two layers that add up what the experts of an image's class say. The second one alone would do."""
    return AnyNetwork(nn.Sequential(nn.Identity(), nn.Identity()), [Layer("0"), Layer("1")], ("a", "b", "c", "d"))


def test_the_sentences_on_a_network_whose_routing_is_the_answer():
    said = {finding.name: finding for finding in findings_on(network(), IMAGES)}
    # the entropy of four equally likely classes is 2 bits
    assert "1: 2.000 bits" in said["information"].sentence and "block 1: 1.9" in said["probe"].sentence
    assert said["entropies"].sentence.startswith("Blocks 1 and 2 choose an expert for each image.")
    assert said["specializations"].sentence.startswith("Experts in use that at least one class prefers: 8 of 8.")
    assert said["routings"].sentence.startswith(
        "The network relies on per-image routing: mean weights change its accuracy on the test images by -75.0 points"
    )
    table = said["switched-off"].table  # a quarter of the images has lost its expert
    assert table["change"].tolist() == [-0.25] * 8 and "replaced_by_mean" not in table
    assert "replaced by its mean" not in said["switched-off"].method


@pytest.mark.slow
def test_a_report_says_where_the_weights_are_and_does_not_mix_with_another(tmp_path):
    written = write_report_on(network(), IMAGES, tmp_path / "report", "<mine>")
    text = (tmp_path / "report" / "index.md").read_text()
    assert text.startswith(
        "# Routing of &#60;mine&#62;\n\nNetwork &#60;mine&#62;. The routing weights are those of block 1: 0; block 2: 1."
    )
    assert {"routings.csv", "switched-off.svg", "probe.png"} < {path.name for path in written}
    assert all(path.is_file() for path in written)
    with pytest.raises(RunError, match="of another report"):
        write_report_on(network(), IMAGES, tmp_path / "report", "other")
