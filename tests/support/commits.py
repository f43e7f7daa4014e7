"""What is committed to a run, without a training."""

import torch

SOUND = {"name": "x", "classes": ["a", "b"], "mean": [0.5] * 3, "std": [0.2] * 3, "image_size": 8, "fingerprint": "f"}


def described(run, dataset):
    run.write_config(run.config() | {"dataset": dataset})


def state(epoch, best_epoch):
    return {
        "epoch": epoch,
        "weights": {"w": torch.full((2,), float(epoch))},
        "optimizers": [],
        "threads": 1,
        "best": {"epoch": best_epoch, "accuracy": 0.5, "weights": {"w": torch.full((2,), float(best_epoch))}},
        "generator": torch.Generator().get_state(),
    }
