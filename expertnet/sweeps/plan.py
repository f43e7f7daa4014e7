"""What a sweep is to do: its settings, what varies, its budget and how it searches."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from expertnet.errors import SettingsError
from expertnet.settings.schema import Settings
from expertnet.sweeps.space import Dimension, checked_space, combinations
from expertnet.utils.text import counted, plural

SAMPLERS = {
    "tpe": "Learns from the trials so far where good settings lie (Bergstra 2011).",
    "random": "Draws every trial at random. Best for a fair look at the whole range.",
    "grid": "Tries every combination in order. Every range needs steps or a list.",
}
PRUNERS = {
    "median": "Stops a trial that is worse than the median of finished trials at the same epoch.",
    "halving": "Lets only the best quarter continue at each of a few epochs (Li 2020, arXiv:1810.05934).",
    "none": "Trains every trial to its end.",
}
TRIALS = 20  # by default
LARGEST = 10_000  # trials
LARGEST_GRID = 1_000_000  # combinations


class Budget(BaseModel):
    """When a sweep ends: at the first of these limits. None is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int | None = None
    hours: float | None = None  # of training, all trials together
    epochs: int | None = None  # of all trials together

    @property
    def text(self) -> str:
        """The limits in words, such as "20 trials, 2 hours"."""
        parts = [
            counted(self.trials, "trial") if self.trials else "",
            f"{self.hours:g} {plural(self.hours, 'hour')}" if self.hours else "",
            counted(self.epochs, "epoch") if self.epochs else "",
        ]
        return ", ".join(filter(None, parts))

    def spent(self, trials: int, epochs: int, seconds: float) -> str:
        """Return the limit that is reached, in words; "" if none is. Trials that still train count."""
        if self.epochs and epochs >= self.epochs:
            return counted(self.epochs, "epoch")
        if self.hours and seconds >= self.hours * 3600:
            return Budget(hours=self.hours).text
        return counted(self.trials, "trial") if self.trials and trials >= self.trials else ""

    def cuts(self, epochs: int, seconds: float) -> bool:
        """Return whether a limit is reached that ends trials in the middle too."""
        return bool(Budget(hours=self.hours, epochs=self.epochs).spent(0, epochs, seconds))


class Plan(BaseModel):
    """All that defines a sweep, in plan.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = ""
    created: str = ""  # ISO, UTC
    preset: str = ""
    settings: Settings  # of every trial, but for what varies
    space: tuple[Dimension, ...]
    budget: Budget = Budget()
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["median", "halving", "none"] = "median"
    seed: int = Field(default=0, ge=0, le=2**31 - 1)  # of the search
    database: str = ""  # that keeps the trials, without its password; "" for the journal in the sweep's folder

    def checked(self) -> "Plan":
        """Return the plan. Raises SettingsError with what is wrong and how to fix it."""
        checked_space(self.space)
        budget = self.budget
        if budget == Budget():
            raise SettingsError(
                "The budget is empty. Set the number of trials, hours or epochs after which the sweep ends."
            )
        for name, value in budget.model_dump().items():
            if value is not None and not 0 < value <= LARGEST * (1 if name != "epochs" else 1000):
                raise SettingsError(
                    f"The number of {name} must be greater than 0 and at most {LARGEST * (1 if name != 'epochs' else 1000):,}. "
                    f"You entered {value:g}."
                )
        if self.settings.watches_test:
            raise SettingsError(
                "A sweep compares its trials on validation images, and `data.validation_share` is 0. Set it to 0.1, "
                "so that the test set stays unseen."
            )
        keys = [dimension.key for dimension in self.space]
        network = [key for key in keys if key.startswith("model.") or key == "data.image_size"]
        if self.settings.model.start_from and network:
            raise SettingsError(
                f"The trials start from another run's weights, which fit one network, so `{network[0]}` cannot vary. Leave it out, or "
                "set `model.start_from` to nothing."
            )
        if self.sampler == "grid" and combinations(self.space) == float("inf"):
            smooth = next(dimension.key for dimension in self.space if dimension.count == float("inf"))
            raise SettingsError(
                f"The sampler grid needs steps, and `{smooth}` has none. List its values, or use the sampler tpe. A command also accepts "
                "a range that ends with :step=S."
            )
        if self.sampler == "grid" and combinations(self.space) > LARGEST_GRID:
            raise SettingsError(
                f"The grid has {combinations(self.space):,.0f} combinations. The sampler grid takes at most {LARGEST_GRID:,}. "
                "Choose larger steps or fewer values, or use the sampler tpe."
            )
        return self
