"""Messages on settings that do not fit together."""

import pytest

from expertnet.errors import SettingsError
from expertnet.settings.fields import build_settings


@pytest.mark.parametrize(
    ("settings", "key", "sentence"),
    [
        ({"model.whitened_stem": True, "model.dirac": True, "model.channels": 16}, "model.dirac", "24, 16, 16, 16, 16"),
        ({"model.residual": True, "model.dirac": False, "model.widths": (32, 16)}, "model.residual", "32, 32, 16, 16"),
        (
            {"model.whitened_stem": True, "model.num_blocks": 5, "model.pool_after": (1, 2, 3, 4, 5)},
            "data.image_size",
            "at least 33, the fewest pixels that `model.pool_after` can halve 5 times after `model.whitened_stem` took one away.",
        ),
        (
            {"data.crop_fill": "reflect", "data.crop_padding": 8, "data.image_size": 8},
            "data.crop_padding",
            "less than `data.image_size` (8)",
        ),
        ({"data.resolutions": (3, 32), "model.pool_after": (1, 2)}, "data.resolutions", "between 4, the fewest pixels"),
        (
            {"data.resolutions": (8,), "model.pool_after": (1, 2, 3), "model.whitened_stem": True},
            "data.resolutions",
            "halve 3 times after `model.whitened_stem` took one away, and `data.image_size` (32). You entered 8.",
        ),
        (
            {"data.resolutions": (1,), "model.pool_after": (), "model.whitened_stem": True},
            "data.resolutions",
            "between 2, the fewest pixels that `model.whitened_stem` can cover, and `data.image_size` (32). You entered 1.",
        ),
        (
            {"data.resolutions": (0,), "model.pool_after": ()},
            "data.resolutions",
            "between 1 and `data.image_size` (32). You entered 0.",
        ),
        (
            {"training.temperature": 30, "model.router_output": "sigmoid"},
            "training.temperature",
            "must be 1 with sigmoids, since it flattens a softmax. You entered 30.",
        ),
        ({"model.top_k": 4}, "model.top_k", "at most `model.num_experts` (3). You entered 4."),
        ({"model.top_k": 1, "model.router_output": "sigmoid"}, "model.top_k", "needs a softmax"),
        ({"model.gates": "odconv"}, "model.gates", "Set `model.mixing` to kernels."),
        ({"model.balance": 0.01}, "model.balance", "Set `model.top_k` to at least 1"),
        (
            {"model.top_k": 1, "training.expert_dropout": 0.1},
            "training.expert_dropout",
            "experts that the router did not choose",
        ),
        ({"data.resolutions": (24, 33)}, "data.resolutions", "`data.image_size` (32). You entered 24,33."),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, key, sentence):
    with pytest.raises(SettingsError) as refused:
        build_settings(overrides=settings)
    assert list(refused.value.by_key) == [key] and sentence in str(refused.value)
