"""The controls of a network of experts: the same network without learned routing, and networks without experts at its cost."""

from bisect import bisect_left
from functools import lru_cache
from typing import Any

from expertnet.network.cost import estimate
from expertnet.settings.schema import Settings

LEARNED = "learned"
CONTROLS = {  # names in files and benchmarks, and for users, which also read well one after another in a sentence
    "uniform": "equal weights",
    "random": "frozen random routers",
    "multiply_adds": "one expert of equal multiply-adds",
    "parameters": "one expert of equal parameters",
    "gates": "one expert with channel gates",
}
ARMS = {LEARNED: "learned routing"} | CONTROLS
KINDS = {  # other networks of the family, which are trained only if asked for
    "kernels": "mixed kernels",
    "top_1": "balanced top 1 of K",
    "odconv": "mixed kernels with ODConv gates",
    "deviation": "router on mean and deviation",
    "sigmoid": "sigmoid router",
}
NAMES = ARMS | KINDS
KIND_SETTINGS: dict[str, dict[str, str | float]] = {
    "kernels": {"mixing": "kernels"},
    "top_1": {"top_k": 1, "router_output": "softmax"},
    "odconv": {"mixing": "kernels", "gates": "odconv"},
    "deviation": {"router_input": "mean_deviation"},
    "sigmoid": {"router_output": "sigmoid", "top_k": 0, "balance": 0.0},
}
KIND_TRAINING = {"top_1": {"expert_dropout": 0.0}, "sigmoid": {"temperature": 1.0}}  # what they cannot have otherwise
BALANCE = 0.01  # of the loss that spreads the images, as in Switch (Fedus 2021, arXiv:2101.03961), unless the network has its own
FINENESS, WIDEST = 1024, 1024  # steps of a factor of the widths between 1 and 2; channels that a network may have


@lru_cache(maxsize=256)
def arm_settings(settings: Settings, arm: str, num_classes: int) -> Settings:
    """Return the settings of an arm. Networks with one expert get the width that comes closest to the cost in its name."""
    if arm == LEARNED:
        return settings
    if arm in ("multiply_adds", "parameters"):
        return _widened(settings, arm, num_classes)
    if arm == "gates":
        return _widened(settings, "multiply_adds", num_classes, gates="se")
    if arm in KINDS:
        balance = {"balance": settings.model.balance or BALANCE} if arm == "top_1" else {}
        training = settings.training.model_copy(update=KIND_TRAINING.get(arm))
        made = with_model(settings, **KIND_SETTINGS[arm], **balance)
        return made.model_copy(update={"training": training})
    return with_model(settings, routing=arm)


def with_model(settings: Settings, **values: Any) -> Settings:
    """Return settings with other values of the network."""
    return settings.model_copy(update={"model": settings.model.model_copy(update=values)})


def _widened(settings: Settings, cost: str, num_classes: int, **values: Any) -> Settings:
    """Return settings with one expert, all widths times one factor, and about the same `cost`, an attribute of Estimate."""
    wanted = getattr(estimate(settings, num_classes), cost)
    model = settings.model
    # one expert needs no router
    single = with_model(settings, num_experts=1, routing="uniform", **values)

    def wider(step: int) -> Settings:
        factor = 1 + step / FINENESS
        return with_model(
            single,
            channels=round(model.channels * factor),
            widths=tuple(round(width * factor) for width in model.widths),
        )

    def cost_of(step: int) -> int:
        return int(getattr(estimate(wider(step), num_classes), cost))

    steps = range(int((WIDEST / max(model.channels, *model.block_widths) - 1) * FINENESS) + 1)
    above = min(bisect_left(steps, wanted, key=cost_of), len(steps) - 1)
    return wider(min((max(above - 1, 0), above), key=lambda step: abs(cost_of(step) - wanted)))
