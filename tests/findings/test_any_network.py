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


def network(layers):
    """Layers that weigh one expert for each class, and hand on the weights, which are the answer."""
    modules = [nn.Identity() for _ in range(layers)]
    return AnyNetwork(nn.Sequential(*modules), [Layer(str(place)) for place in range(layers)], ("a", "b", "c", "d"))


def test_the_sentences_on_a_network_whose_routing_is_the_answer():
    said = {finding.name: finding for finding in findings_on(network(2), IMAGES)}
    # the entropy of four equally likely classes is 2 bits
    assert "block 1 says the most about the class: 2.000 bits" in said["information"].sentence
    assert "block 1: 1.9" in said["probe"].sentence
    assert said["entropies"].sentence.startswith("Blocks 1 and 2 choose an expert for each image.")
    assert said["specializations"].sentence.startswith("Experts in use that at least one class prefers: 8 of 8.")
    assert said["routings"].sentence.startswith(
        "The network relies on per-image routing: mean weights change its accuracy on the test images by -75.0 points"
    )
    assert (
        said["frozen"].sentence.startswith("Mean weights in block 1 alone cost")
        or "No block" in said["frozen"].sentence
    )
    assert said["calibration"].sentence.startswith(
        "With re-estimated batch norms, the network is underconfident on 200 test images"
    )
    assert said["headroom"].sentence.startswith("The network makes no mistake on 200 test images")
    table = said["switched-off"].table  # a quarter of the images has lost its expert
    assert table["change"].tolist() == [-0.25] * 8 and "replaced_by_mean" not in table
    assert "replaced by its mean" not in said["switched-off"].method


@pytest.mark.slow
def test_a_report_says_where_the_weights_are_and_does_not_mix_with_another(tmp_path):
    written = write_report_on(network(1), IMAGES, tmp_path / "report", "<mine>")
    text = (tmp_path / "report" / "index.md").read_text()
    assert text.startswith(
        "# Routing of &#60;mine&#62;\n\nNetwork &#60;mine&#62;. The routing weights are those of block 1: 0."
    )
    assert {"routings.csv", "switched-off.svg", "probe.png"} < {path.name for path in written}
    assert all(path.is_file() for path in written)
    with pytest.raises(RunError, match="of another report"):
        write_report_on(network(1), IMAGES, tmp_path / "report", "other")
