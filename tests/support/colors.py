"""Trainings of less than a second, on two classes of noisy colors."""

import torch

from expertnet.data.splits import Split
from expertnet.settings.fields import build_settings
from expertnet.training.trainer import Trainer

TINY = {
    "model.num_blocks": 2,
    "model.channels": 8,
    "model.reduction": 2,
    "model.pool_after": (1,),
    "training.batch_size": 16,
    "training.epochs": 3,
    "data.image_size": 8,
    "data.crop_padding": 1,
    "hardware.device": "cpu",
}
FAST = {
    "training.optimizer": "muon_sgd",
    "training.momentum": 0.6,
    "training.bias_lr_share": 0.1,
    "data.crop_fill": "reflect",
    "model.whitened_stem": True,
    "model.dirac": True,
    "model.head": "max",
    "model.norm_scale": False,
    "model.norm_momentum": 0.4,
    "model.activation": "gelu",
    "model.channels": 24,
    "model.expert_blocks": (2,),
}


def two_colors(n, seed):
    """Images whose class is whether they are more red or more blue, with noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (n,), generator=generator)
    images = torch.randint(0, 120, (n, 3, 8, 8), generator=generator)
    images[torch.arange(n), labels * 2] += 80
    return Split(images.to(torch.uint8), labels)


def trainer(data, **overrides):
    return Trainer(build_settings("quick", overrides=TINY | overrides), data, threads=1)


def epochs(records):
    return [
        {k: v for k, v in r.metrics.items() if k not in ("seconds", "images_per_second")}
        for r in records
        if r.kind == "epoch"
    ]
