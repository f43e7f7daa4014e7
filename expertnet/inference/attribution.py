"""Where in an image the logit of a class comes from, and from which experts.

A class's logit is linear in the last feature map: in its spatial mean (class activation maps; Zhou 2016, arXiv:1512.04150) or in its
maxima. The last block's output is a sum over its experts. So each logit is a sum over places and experts, without approximation.

Shapes: C classes, P parts of the last block's output, D channels, H x W pixels.
"""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from expertnet.inference.predictor import Predictor
from expertnet.network.model import Block, MaxClassifier, scaled

TOGETHER, SKIP = "Experts together", "Skip connection"
RAISES, LOWERS = (230, 159, 0), (86, 180, 233)  # RGB; as orange and sky blue in the charts
OPAQUE = 0.85  # of the color at the place that counts most
SIDE = 224  # pixels


@dataclass(frozen=True, eq=False)
class Attribution:
    """The summands of an image's logits."""

    parts: tuple[str, ...]  # P: the experts, if their outputs are mixed, and the block's input if it is residual
    maps: Tensor  # (C, P, H, W)
    bias: Tensor  # (C,); 0 if the head has none

    @property
    def logits(self) -> Tensor:
        """Return the sums of the summands: (C,)."""
        return self.maps.sum((1, 2, 3)) + self.bias


@torch.inference_mode()
def attribute(predictor: Predictor, image_3SS: Tensor) -> Attribution:
    """Return the summands of the logits of a uint8 image."""
    net = predictor.model
    blocks = cast(list[Block], list(net.backbone.blocks))
    x = net.stem(predictor.normalized(image_3SS[None]))
    for number, block in enumerate(blocks[:-1], start=1):
        x = net.backbone.pool(number, block(x)[0])
    found = _parts(blocks[-1], x)
    parts_PDHW = torch.cat(list(found.values()))
    if len(blocks) in net.backbone.pool_after:
        _, places = F.max_pool2d(parts_PDHW.sum(0, keepdim=True), 2, return_indices=True)
        kept = parts_PDHW.flatten(2).gather(2, places.flatten(2).expand(len(found), -1, -1))
        parts_PDHW = kept.view(len(found), *places.shape[1:])
    if isinstance(net.classifier, MaxClassifier):
        highest = parts_PDHW.sum(0).flatten(1).argmax(1, keepdim=True)
        is_highest = torch.zeros_like(parts_PDHW[0].flatten(1)).scatter(1, highest, 1.0).view_as(parts_PDHW[0])
        parts_PDHW = parts_PDHW * is_highest / parts_PDHW.shape[1]
    else:
        parts_PDHW = parts_PDHW / (parts_PDHW.shape[2] * parts_PDHW.shape[3])
    head = net.classifier.head
    bias_C = torch.zeros(len(head.weight)) if head.bias is None else head.bias.clone()
    return Attribution(tuple(found), torch.einsum("cd,pdhw->cphw", head.weight, parts_PDHW), bias_C)


def _parts(block: Block, x_1CHW: Tensor) -> dict[str, Tensor]:
    """Return the summands of a block's output by name, each (1, D, H, W)."""
    weights_1K, factor_11 = block.routing(x_1CHW)
    if block.plain:
        parts = {TOGETHER: block.experts.finish(block.experts.conv(x_1CHW))}
    elif block.experts.own_norms:
        weights = scaled(weights_1K, factor_11)[0].tolist()
        outputs = zip(block.experts.parts(x_1CHW), weights, strict=True)
        parts = {f"Expert {k}": output * weight for k, (output, weight) in enumerate(outputs, start=1)}
    else:  # one activation follows the mix of kernels, so their outputs have no sum
        parts = {TOGETHER: block.experts(x_1CHW, scaled(weights_1K, factor_11))}
    if block.gate is not None:
        factors = block.gate.factors(torch.cat(list(parts.values())).sum(0, keepdim=True))
        parts = {name: part * factors for name, part in parts.items()}
    if block.residual:
        zeros = torch.zeros_like(next(iter(parts.values())))
        parts[SKIP] = block.add(x_1CHW, zeros)
    return parts


def overlay(image_3SS: Tensor, map_HW: Tensor, most: float) -> Tensor:
    """Return a uint8 image in gray, orange where a map is positive and blue where it is negative: (3, T, T), T about SIDE.

    `most` is the value with the strongest color. The map is interpolated between its places.
    """
    scale = max(SIDE // image_3SS.shape[-1], 1)
    gray = image_3SS.float().mean(0, keepdim=True).repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    smooth = F.interpolate(map_HW[None, None], size=gray.shape[1:], mode="bilinear", align_corners=False)[0]
    opacity = OPAQUE * (smooth.abs() / max(most, 1e-12)).clamp_max(1)
    raises, lowers = (torch.tensor(color).float()[:, None, None] for color in (RAISES, LOWERS))
    colors = torch.where(smooth > 0, raises, lowers)
    return (gray * (1 - opacity) + colors * opacity).round().to(torch.uint8)
