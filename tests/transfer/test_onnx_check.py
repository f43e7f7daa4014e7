"""What the check of an ONNX network finds: where it differs, and how much of that is rounding."""

import pytest
import torch

from expertnet.errors import RunError
from expertnet.inference.predictor import Predictor
from expertnet.transfer.onnx_check import check
from expertnet.transfer.onnx_precision import ALLOWED, Precision
from tests.support.onnx_networks import images, predictor


def test_another_network_fails_the_check_which_says_by_how_much_and_where(plain):
    net, content = plain
    assert check(content, net, images(net)) < 1e-5
    other = predictor()
    other.model.backbone.blocks[1].branch.route.bias[2] += 0.5
    with pytest.raises(
        RunError, match=r"batches of 1, its .* differ from PyTorch's by up to [\d.e-]+ \(image \d+, "
    ) as error:
        check(content, other, images(net))
    assert "Nothing was exported" in str(error.value)
    other.model.classifier.head.weight.fill_(torch.nan)
    with pytest.raises(RunError, match="not finite"):
        check(content, other, images(net))


class Moved(Predictor):
    """A network whose routing weights differ in some images."""

    def __init__(self, source, moved):
        super().__init__(source.model, source.settings, source.info, 1)
        self.moved = moved

    def __call__(self, images_N3SS, changes=None):
        probabilities, routing = super().__call__(images_N3SS)
        routing = routing.clone()
        routing[self.moved, 1, 2] += 0.25
        return probabilities, routing


def test_a_difference_is_named_where_it_is_largest(plain):
    net, content = plain
    says = (
        r"batches of 1, its routing weights .* by up to 0\.25 \(image 63, block 2, expert 3\), and 1\.6% of the images"
    )
    with pytest.raises(RunError, match=says):
        check(content, Moved(net, 62), images(net))


def test_rounding_may_move_a_tenth_of_the_images_across_a_border(plain):
    net, content = plain
    found = check(content, Moved(net, slice(6)), images(net), ALLOWED[Precision.FLOAT16])
    assert found == pytest.approx(0.25, abs=1e-4)
    says = r"10\.9% of the images differ by more than 0\.02\. .* Export it as float32 or int8"
    with pytest.raises(RunError, match=says):
        check(content, Moved(net, slice(7)), images(net), ALLOWED[Precision.FLOAT16])
