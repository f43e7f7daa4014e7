"""All settings of a run, each with its default, range, unit and help text. Long because it is a list.

The form, the command line and config.json are generated from this schema.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from expertnet.utils.text import counted


def setting(
    default: Any,
    help: str,
    *,
    label: str,
    unit: str = "",
    step: float | None = None,
    basic: bool = False,
    kind: str | None = None,
    **limits: Any,
) -> Any:
    """Return a pydantic field with what a form needs: label, unit, step, and whether it is always visible (`basic`).

    `kind` overrides the kind that follows from the type, such as "blocks" for block numbers.
    """
    shown: dict[str, Any] = {"unit": unit, "step": step, "basic": basic, "kind": kind}
    return Field(default, description=help, title=label, json_schema_extra=shown, **limits)


def format_value(value: Any) -> str:
    """Return a value as text that --set accepts."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def parse_numbers(value: Any) -> Any:
    """Return text such as "2,4", "2 4" or "[2, 4]" as a tuple, and any other value unchanged."""
    if isinstance(value, str):
        parts = value.strip().strip("[]()").replace(",", " ").split()
        return tuple(int(part) if re.fullmatch(r"-?\d{1,18}", part) else part for part in parts)
    return value


def _on_or_off(value: Any) -> Any:
    """Accept true and false."""
    return {"true": "on", "false": "off"}.get(str(value).lower(), value)


Numbers = Annotated[tuple[int, ...], BeforeValidator(parse_numbers)]


class Section(BaseModel):
    """Base of all groups of settings: frozen, without unknown or non-finite values."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSettings(Section):
    """The network: a stem, blocks of expert convolutions and a classifier."""

    num_blocks: int = setting(8, "Number of expert blocks.", label="Blocks", basic=True, ge=1, le=64)
    channels: int = setting(
        64,
        "Feature maps that each convolution outputs.",
        label="Channels",
        unit="feature maps",
        step=8,
        basic=True,
        ge=1,
        le=1024,
    )
    num_experts: int = setting(
        3,
        "Parallel convolutions in each block (K). With 1 there is nothing to route.",
        label="Experts per block",
        basic=True,
        ge=1,
        le=16,
    )
    reduction: int = setting(
        8,
        "The router's hidden layer has this many times fewer units than its input.",
        label="Router reduction",
        ge=1,
        le=256,
    )
    routing: Literal["learned", "uniform"] = setting(
        "learned",
        "learned: a router weights the experts for each image. uniform: every expert gets 1/K, as a control.",
        label="Routing",
    )
    pool_after: Numbers = setting(
        (),
        "Blocks (from 1) followed by 2x2 max pooling, which makes later blocks four times cheaper.",
        label="Pool after blocks",
        kind="blocks",
    )
    widths: Numbers = setting(
        (),
        "Channels of each stage, such as 32,64,128. Each pooling starts a new stage. Empty: the same in all blocks.",
        label="Channels per stage",
        unit="feature maps",
    )
    residual: bool = setting(
        False,
        "Add each block's input to its output, which helps deep networks learn (He 2016, arXiv:1512.03385).",
        label="Residual blocks",
    )

    @model_validator(mode="after")
    def _pooled_blocks_exist(self) -> ModelSettings:
        entered = f"You entered {format_value(self.pool_after)}."
        if any(not 1 <= block <= self.num_blocks for block in self.pool_after):
            raise ValueError(f"`model.pool_after` must name blocks between 1 and {self.num_blocks}. {entered}")
        if len(set(self.pool_after)) != len(self.pool_after):
            raise ValueError(f"`model.pool_after` must name each block once. {entered}")
        return self

    @model_validator(mode="after")
    def _widths_fit(self) -> ModelSettings:
        entered = f"You entered {format_value(self.widths)}."
        stages = 1 + sum(block < self.num_blocks for block in self.pool_after)
        if self.widths and len(self.widths) != stages:
            raise ValueError(f"`model.widths` needs {counted(stages, 'number')}, one per stage. {entered}")
        if any(not 1 <= width <= 1024 for width in self.widths):
            raise ValueError(f"`model.widths` must contain numbers between 1 and 1024. {entered}")
        if self.residual and sorted(self.widths) != list(self.widths):
            raise ValueError(f"`model.widths` must not decrease from stage to stage with residual blocks. {entered}")
        return self

    @property
    def block_widths(self) -> tuple[int, ...]:
        """Output channels of each block."""
        stage_of = [sum(pooled < block for pooled in self.pool_after) for block in range(1, self.num_blocks + 1)]
        return tuple(self.widths[stage] if self.widths else self.channels for stage in stage_of)


class DataSettings(Section):
    """The images, how they are split, and how they are augmented."""

    dataset: str = setting(
        "digits",
        "A built-in dataset, or the path of a folder or archive of class folders.",
        label="Dataset",
        basic=True,
        min_length=1,
    )
    image_size: int = setting(
        32,
        "Width and height of the images that enter the network.",
        label="Image size",
        unit="pixels",
        step=8,
        ge=8,
        le=128,
    )
    validation_share: float = setting(
        0.1,
        "Share of the training images held out to choose the best epoch. With 0, the test set is monitored, as in the report.",
        label="Validation share",
        step=0.05,
        ge=0.0,
        le=0.5,
    )
    crop_padding: int = setting(
        4,
        "Zero pixels added on each side before a random crop. 0 turns it off.",
        label="Crop padding",
        unit="pixels",
        ge=0,
        le=32,
    )
    flip: Literal["auto", "on", "off"] = setting(
        "auto",
        "Mirror half of the training images. auto leaves digits and house numbers unchanged.",
        label="Horizontal flip",
    )
    alternating_flip: bool = setting(
        False,
        "Mirror each image in every second epoch instead of at random (Jordan 2024, arXiv:2404.00498).",
        label="Alternating flip",
    )
    cutout: int = setting(
        0,
        "Side of a square erased at a random place in each training image. 0 turns it off.",
        label="Cutout",
        unit="pixels",
        ge=0,
        le=128,
    )
    mixup: float = setting(
        0.0,
        "Blend pairs of images by a share from Beta(a, a) (Zhang 2018, arXiv:1710.09412). 0 turns it off.",
        label="Mixup",
        step=0.1,
        ge=0.0,
        le=10.0,
    )
    cutmix: float = setting(
        0.0,
        "Paste a rectangle of another image, its share from Beta(a, a) (Yun 2019, arXiv:1905.04899). 0 turns it off. "
        "With Mixup on too, each batch uses one of the two.",
        label="CutMix",
        step=0.1,
        ge=0.0,
        le=10.0,
    )


class TrainingSettings(Section):
    """The optimizer, its schedule and what is saved."""

    epochs: int = setting(100, "Passes through the training images.", label="Epochs", basic=True, ge=1, le=10_000)
    batch_size: int = setting(
        128, "Images per step.", label="Batch size", unit="images", step=16, basic=True, ge=1, le=16_384
    )
    optimizer: Literal["adamw", "sgd", "muon"] = setting(
        "adamw",
        "AdamW (Loshchilov 2019), SGD with Nesterov momentum, or Muon (Jordan 2024) for expert kernels with AdamW for the rest.",
        label="Optimizer",
    )
    lr: float = setting(3e-4, "Peak of the schedule.", label="Learning rate", basic=True, gt=0.0, le=10.0)
    router_lr_share: float = setting(
        1.0,
        "Routers learn at this share of the learning rate. At rates that suit the kernels, routers can collapse.",
        label="Router learning rate share",
        step=0.05,
        gt=0.0,
        le=1.0,
    )
    weight_decay: float = setting(
        1e-3, "Decoupled with AdamW, an L2 penalty with SGD.", label="Weight decay", ge=0.0, le=10.0
    )
    decay_all: bool = setting(
        True,
        "Decay norms, biases and routers too, as in the report. Off: only convolutions and the classifier.",
        label="Decay all weights",
    )
    momentum: float = setting(0.9, "Nesterov momentum of SGD and Muon.", label="Momentum", step=0.05, ge=0.0, lt=1.0)
    schedule: Literal["cosine", "one_cycle"] = setting(
        "cosine", "cosine: annealing to zero. one_cycle: a linear rise, then a linear fall to zero.", label="Schedule"
    )
    warmup_share: float = setting(
        0.0,
        "Share of all steps in which the learning rate rises from zero.",
        label="Warm-up share",
        step=0.05,
        ge=0.0,
        le=0.9,
    )
    label_smoothing: float = setting(
        0.0, "Share of the target spread evenly over all classes.", label="Label smoothing", step=0.05, ge=0.0, lt=1.0
    )
    gradient_clip: float = setting(
        0.0,
        "Maximum norm of the gradient of all weights together. 0 turns it off.",
        label="Gradient clipping",
        step=0.5,
        ge=0.0,
        le=1000.0,
    )
    ema: float = setting(
        0.0,
        "Evaluate a moving average of the weights with this decay per step (Polyak 1992). 0 turns it off.",
        label="Weight averaging",
        step=0.001,
        ge=0.0,
        lt=1.0,
    )
    temperature: float = setting(
        1.0,
        "Initial temperature of the router softmax. It falls to 1, so that all experts learn first (Chen 2020, arXiv:1912.03458).",
        label="Router temperature",
        step=1.0,
        ge=1.0,
        le=1000.0,
    )
    temperature_share: float = setting(
        0.1,
        "Share of all steps in which the router temperature falls to 1.",
        label="Temperature annealing share",
        step=0.05,
        gt=0.0,
        le=1.0,
    )
    keep_every: int = setting(
        0,
        "Save extra checkpoints, to see the routing through training. 0 saves only the best and the last.",
        label="Save a checkpoint every",
        unit="epochs",
        ge=0,
        le=10_000,
    )
    tensorboard: bool = setting(
        False,
        "Log each epoch for TensorBoard in the run's folder. Requires the package tensorboard.",
        label="TensorBoard",
    )


class HardwareSettings(Section):
    """Where and in which number format training runs."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = setting(
        "auto", "auto, cpu, mps, cuda or cuda:1. auto uses the first accelerator.", label="Device"
    )
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto",
        "Number format of the convolutions. auto uses bf16 if the device supports it natively.",
        label="Precision",
    )
    channels_last: bool = setting(
        True, "Store the channels of each pixel together, which is faster on most devices.", label="Channels last"
    )
    compile: Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_or_off)] = setting(
        "auto",
        "Use torch.compile: a slower start, then faster steps. auto compiles long runs on a GPU.",
        label="Compile",
    )
    own_process: bool = setting(
        False,
        "Train in a separate process, which survives a restart of the app and can be force stopped. It starts a few seconds later.",
        label="Separate process",
    )


class Settings(Section):
    """All settings of a run."""

    seed: int = setting(
        0, "Seed of every random choice: weights, split, order and augmentation.", label="Seed", ge=0, le=2**31 - 1
    )
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    training: TrainingSettings = TrainingSettings()
    hardware: HardwareSettings = HardwareSettings()

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        size = self.data.image_size
        if size >> len(self.model.pool_after) < 1:
            raise ValueError(
                f"`model.pool_after` halves images of {size} pixels {len(self.model.pool_after)} times, which leaves none. "
                "Name fewer blocks."
            )
        for name in ("cutout", "crop_padding"):
            value = getattr(self.data, name)
            if value > size:
                raise ValueError(f"`data.{name}` must be at most `data.image_size` ({size}). You entered {value}.")
        return self

    @property
    def watches_test(self) -> bool:
        """Whether val_* figures are measured on the test set, because there are no validation images."""
        return self.data.validation_share == 0
