"""The feature maps that each expert makes from an image."""

import math
from typing import cast

import numpy as np
import torch
from torch import Tensor

from expertnet.inference.predictor import Predictor
from expertnet.network.model import Block, scaled


@torch.inference_mode()
def feature_maps(predictor: Predictor, image_3SS: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output of each of a block's experts alone (K, D, H, W), their mix (D, H, W) and the routing weights (K,).

    Takes a uint8 image; blocks are counted from 1. The maps are taken after batch norm and activation, before the pooling that
    follows a block, and without the input that a residual block adds.
    """
    model = predictor.model
    blocks = cast(list[Block], list(model.backbone.blocks))
    x = model.stem(predictor.normalized(image_3SS[None]))
    for number, earlier in enumerate(blocks[: block - 1], start=1):
        x = model.backbone.pool(number, earlier(x)[0])
    chosen = blocks[block - 1]
    weights_1K, factor_11 = chosen.routing(x)
    alone = [chosen.experts(x, scaled(alone_K[None], factor_11)) for alone_K in torch.eye(weights_1K.shape[1])]
    return torch.cat(alone), chosen.experts(x, scaled(weights_1K, factor_11))[0], weights_1K[0]


def mosaic(maps_DHW: Tensor, pixels: int = 256) -> np.ndarray:
    """Arrange feature maps in a square image, with 0 as white and 1 as black: uint8 (height, width).

    Each value becomes a square of whole pixels, so that the image is about `pixels` wide.
    """
    count, height, width = maps_DHW.shape
    columns = math.ceil(math.sqrt(count))
    cells = torch.zeros(math.ceil(count / columns) * columns, height + 1, width + 1)  # a blank line between maps
    cells[:count, :height, :width] = maps_DHW.clamp(0, 1)
    grid = cells.unflatten(0, (-1, columns)).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    scale = max(pixels // grid.shape[1], 1)
    return (255 * (1 - grid)).to(torch.uint8).repeat_interleave(scale, 0).repeat_interleave(scale, 1).numpy()
