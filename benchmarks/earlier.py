"""The recipe that `quick` had until 0.2.0, with which some figures of docs/ were measured: python -m benchmarks.earlier

Benchmarks that import it print these figures again. The command prints it as options for benchmarks.accuracy.
"""

from expertnet.settings.schema import format_value

QUICK = {
    "model.pool_before_norm": False,
    "model.dirac": False,
    "model.norm_momentum": 0.1,
    "training.optimizer": "adamw",
    "training.lr": 4e-3,
    "training.momentum": 0.9,
    "training.router_lr_share": 1.0,
    "training.decay_all": True,
    "training.weight_decay": 1e-2,
    "data.crop_fill": "zeros",
    "data.alternating_flip": False,
}

if __name__ == "__main__":
    print(" ".join(f"--set {key}={format_value(value)}" for key, value in QUICK.items()))
