"""Every setting of a run, once: name, default, range, unit and one line of help.

In this module: Settings and its sections, SettingsError, did_you_mean, format_value and parse_numbers. The presets are in presets.py.
The form, the command line and config.json are all made from what stands here; fields.py reads it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


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
    """A pydantic field that also carries what a form shows: label, unit, step, and whether it is shown unfolded.

    `kind` is what the type alone does not tell: "blocks" for numbers of blocks.
    """
    shown: dict[str, Any] = {"unit": unit, "step": step, "basic": basic, "kind": kind}
    return Field(default, description=help, title=label, json_schema_extra=shown, **limits)


def format_value(value: Any) -> str:
    """A value as --set takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def parse_numbers(value: Any) -> Any:
    """Numbers typed as text, "2 4" or "2,4" or "[2, 4]", become a tuple."""
    if isinstance(value, str):
        parts = value.strip().strip("[]()").replace(",", " ").split()
        return tuple(int(part) if re.fullmatch(r"-?\d{1,18}", part) else part for part in parts)
    return value


def _on_or_off(value: Any) -> Any:
    """A truth value is as good as the word."""
    return {"true": "on", "false": "off"}.get(str(value).lower(), value)


Numbers = Annotated[tuple[int, ...], BeforeValidator(parse_numbers)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSettings(Section):
    """The network: a stem, blocks of expert convolutions, a classifier."""

    num_blocks: int = setting(
        8, "Blocks of expert convolutions, one after the other.", label="Blocks", basic=True, ge=1, le=64
    )
    channels: int = setting(
        64,
        "Feature maps that every convolution puts out.",
        label="Channels",
        unit="feature maps",
        step=8,
        basic=True,
        ge=1,
        le=1024,
    )
    num_experts: int = setting(
        3,
        "Expert convolutions side by side in each block (K); with 1 there is nothing to route.",
        label="Experts per block",
        basic=True,
        ge=1,
        le=16,
    )
    reduction: int = setting(
        8,
        "The expert branch squeezes its channels by this factor before it weighs the experts.",
        label="Router reduction",
        ge=1,
        le=256,
    )
    routing: Literal["learned", "uniform"] = setting(
        "learned",
        "Whether each image's weights come from the expert branch, or are 1/K for all: the control that tells what routing earns.",
        label="Routing",
    )
    pool_after: Numbers = setting(
        (),
        "Numbers of the blocks (from 1) that are followed by 2x2 max pooling, which makes the rest four times cheaper.",
        label="Pool after blocks",
        kind="blocks",
    )
    widths: Numbers = setting(
        (),
        "Channels of each stage, which ends where images are pooled, such as 32,64,128; empty: the same channels everywhere.",
        label="Widths by stage",
        unit="feature maps",
    )
    residual: bool = setting(
        False,
        "Add what comes into a block to what it puts out (He 2016, arXiv:1512.03385), which deep networks learn more easily.",
        label="Residual blocks",
    )

    @model_validator(mode="after")
    def _pooled_blocks_exist(self) -> ModelSettings:
        if any(not 1 <= block <= self.num_blocks for block in self.pool_after):
            raise ValueError(
                f"model.pool_after cannot be {format_value(self.pool_after)!r}: it takes numbers of blocks "
                f"from 1 to {self.num_blocks}."
            )
        if len(set(self.pool_after)) != len(self.pool_after):
            raise ValueError(f"model.pool_after cannot be {format_value(self.pool_after)!r}: it names each block once.")
        return self

    @model_validator(mode="after")
    def _widths_fit(self) -> ModelSettings:
        wrong = f"model.widths cannot be {format_value(self.widths)!r}: "
        stages = 1 + sum(block < self.num_blocks for block in self.pool_after)
        if self.widths and len(self.widths) != stages:
            raise ValueError(f"{wrong}it takes a number for each stage, and pooling makes {stages} of them.")
        if any(not 1 <= width <= 1024 for width in self.widths):
            raise ValueError(f"{wrong}it takes numbers from 1 to 1024.")
        if self.residual and sorted(self.widths) != list(self.widths):
            raise ValueError(f"{wrong}residual blocks take widths that do not fall from stage to stage.")
        return self

    @property
    def block_widths(self) -> tuple[int, ...]:
        """Channels that each block puts out."""
        stage_of = [sum(pooled < block for pooled in self.pool_after) for block in range(1, self.num_blocks + 1)]
        return tuple(self.widths[stage] if self.widths else self.channels for stage in stage_of)


class DataSettings(Section):
    """The images, how they are split, and how they are varied in training."""

    dataset: str = setting(
        "digits",
        "A built-in dataset, or the path of a folder or archive of class folders.",
        label="Dataset",
        basic=True,
        min_length=1,
    )
    image_size: int = setting(
        32,
        "Width and height of the images that the network sees.",
        label="Image size",
        unit="pixels",
        step=8,
        ge=8,
        le=128,
    )
    validation_share: float = setting(
        0.1,
        "Share of the training images kept aside to choose the best epoch; 0 watches the test set instead, as the report did.",
        label="Validation share",
        step=0.05,
        ge=0.0,
        le=0.5,
    )
    crop_padding: int = setting(
        4,
        "A random crop from the image padded with this many zero pixels on each side; 0 switches it off.",
        label="Crop padding",
        unit="pixels",
        ge=0,
        le=32,
    )
    flip: Literal["auto", "on", "off"] = setting(
        "auto",
        "Mirror half of the training images; auto leaves digits and house numbers as they are.",
        label="Horizontal flip",
    )
    alternating_flip: bool = setting(
        False,
        "Mirror every image in each second epoch, so that both views come equally often (Jordan 2024, arXiv:2404.00498).",
        label="Alternating flip",
    )
    cutout: int = setting(
        0,
        "Side of a square that is blanked at a random place in each training image; 0 switches it off.",
        label="Cutout",
        unit="pixels",
        ge=0,
        le=128,
    )
    mixup: float = setting(
        0.0,
        "Blend each batch with itself in another order by a share from Beta(a, a) (Zhang 2018, arXiv:1710.09412); 0 switches it off.",
        label="Mixup",
        step=0.1,
        ge=0.0,
        le=10.0,
    )
    cutmix: float = setting(
        0.0,
        "Paste a rectangle of another image, of a share from Beta(a, a) (Yun 2019, arXiv:1905.04899); "
        "with mixup too, each batch takes one of them.",
        label="CutMix",
        step=0.1,
        ge=0.0,
        le=10.0,
    )


class TrainingSettings(Section):
    """The optimiser and its schedule."""

    epochs: int = setting(
        100, "Times that training goes through all training images.", label="Epochs", basic=True, ge=1, le=10_000
    )
    batch_size: int = setting(
        128, "Images in one step.", label="Batch size", unit="images", step=16, basic=True, ge=1, le=16_384
    )
    optimizer: Literal["adamw", "sgd", "muon"] = setting(
        "adamw",
        "AdamW (Loshchilov 2019), SGD with Nesterov momentum, or Muon (Jordan 2024) for the experts' kernels beside AdamW for the rest.",
        label="Optimizer",
    )
    lr: float = setting(
        3e-4, "Highest learning rate of the schedule.", label="Learning rate", basic=True, gt=0.0, le=10.0
    )
    router_lr_share: float = setting(
        1.0,
        "Share of the learning rate that the routers take; where it is high, routers die or collapse at learning rates that kernels like.",
        label="Router's share of the learning rate",
        step=0.05,
        gt=0.0,
        le=1.0,
    )
    weight_decay: float = setting(
        1e-3, "Decoupled decay with AdamW, an L2 penalty with SGD.", label="Weight decay", ge=0.0, le=10.0
    )
    decay_all: bool = setting(
        True,
        "Decay norms, biases and routers too, as the report does; without it only convolutions and the classifier are decayed.",
        label="Decay everything",
    )
    momentum: float = setting(0.9, "Nesterov momentum of SGD and Muon.", label="Momentum", step=0.05, ge=0.0, lt=1.0)
    schedule: Literal["cosine", "one_cycle"] = setting(
        "cosine", "Cosine annealing to zero, or one-cycle: a linear rise, then a linear fall to zero.", label="Schedule"
    )
    warmup_share: float = setting(
        0.0,
        "First share of all steps in which the learning rate rises from zero.",
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
        "Largest norm of the gradient of all weights together; 0 does not clip.",
        label="Gradient clipping",
        step=0.5,
        ge=0.0,
        le=1000.0,
    )
    ema: float = setting(
        0.0,
        "Evaluate an exponential moving average of the weights that keeps this share of itself a step (Polyak 1992); 0 switches it off.",
        label="Weight averaging",
        step=0.001,
        ge=0.0,
        lt=1.0,
    )
    temperature: float = setting(
        1.0,
        "Temperature of the routers' softmax at the start, falling to 1, so that all experts learn first (Chen 2020, arXiv:1912.03458).",
        label="Router temperature",
        step=1.0,
        ge=1.0,
        le=1000.0,
    )
    temperature_share: float = setting(
        0.1,
        "First share of all steps in which the routers' temperature falls to 1.",
        label="Temperature share",
        step=0.05,
        gt=0.0,
        le=1.0,
    )
    keep_every: int = setting(
        0,
        "Keep the weights of every so many epochs too, to look at the routing through training; 0 keeps the best and the last alone.",
        label="Keep weights every",
        unit="epochs",
        ge=0,
        le=10_000,
    )
    tensorboard: bool = setting(
        False,
        "Write each epoch's figures for TensorBoard into the run's folder too; this needs the package tensorboard.",
        label="TensorBoard",
    )


class HardwareSettings(Section):
    """Where the training runs and how it computes."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = setting(
        "auto", "auto, cpu, mps, cuda or cuda:1; auto takes the first accelerator there is.", label="Device"
    )
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto",
        "Number format of the convolutions; auto takes bf16 where the device is fast with it.",
        label="Precision",
    )
    channels_last: bool = setting(
        True,
        "Keep the channels of a pixel together in memory, which most devices convolve faster.",
        label="Channels last",
    )
    compile: Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_or_off)] = setting(
        "auto",
        "Compile the network with torch.compile: a slower start, then faster steps; auto does so on a GPU in runs that are long enough.",
        label="Compile",
    )
    own_process: bool = setting(
        False,
        "Train in a process of its own, which outlives a restart of the app and can be ended by force; it starts some seconds later.",
        label="Own process",
    )


class Settings(Section):
    """All settings of a run; frozen, so that a run's snapshot cannot change under it."""

    seed: int = setting(
        0, "Start of every random choice: weights, split, order, augmentation.", label="Seed", ge=0, le=2**31 - 1
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
                f"model.pool_after cannot be {format_value(self.model.pool_after)!r}: it halves images of {size} "
                "pixels to nothing; name fewer blocks."
            )
        for name in ("cutout", "crop_padding"):
            if getattr(self.data, name) > size:
                raise ValueError(
                    f"data.{name} cannot be {getattr(self.data, name)}: it takes at most data.image_size, which is {size}."
                )
        return self

    @property
    def watches_test(self) -> bool:
        """With no validation images, every val_* figure of the run is measured on the test set."""
        return self.data.validation_share == 0
