"""All settings of a run: default, label, unit and range, with the help text below.

The form, the command line and config.json are generated from this schema. It is one long module because it is one list.
"""

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from expertnet.utils.text import counted


def setting(
    default: Any,
    label: str,
    *,
    unit: str = "",
    step: float | None = None,
    basic: bool = False,
    advanced: bool = False,
    kind: str = "",
    **limits: Any,
) -> Any:
    """Return a pydantic field with what a form needs. Its help text is the string below the field.

    `basic` settings are always visible, and `advanced` ones have a group of their own. `kind` overrides the kind that follows
    from the type, such as "blocks".
    """
    shown: dict[str, Any] = {"unit": unit, "step": step, "basic": basic, "advanced": advanced, "kind": kind}
    return Field(default, title=label, json_schema_extra=shown, **limits)


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
    return {"true": "on", "false": "off"}.get(str(value).lower(), value)


LAST_SEED = 2**31 - 1
WHITENED_WIDTH = 24  # filters of a whitened stem: the 12 directions of a 2x2 RGB patch, and their negatives
Numbers = Annotated[tuple[int, ...], BeforeValidator(parse_numbers)]


class Section(BaseModel):
    """Base of all groups of settings: frozen, without unknown or non-finite values."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSettings(Section):
    """The network: a stem, blocks of expert convolutions and a classifier."""

    num_blocks: int = setting(8, "Blocks", basic=True, ge=1, le=64)
    """Stages that every image passes one after another. In each, a router mixes the outputs of several experts. More blocks
    can learn finer distinctions and take longer.
    """
    channels: int = setting(64, "Channels", unit="feature maps", step=8, basic=True, ge=1, le=1024)
    """Feature maps that each convolution outputs."""
    num_experts: int = setting(3, "Experts per block", basic=True, ge=1, le=16)
    """Parallel convolutions in each block (K). With 1 there is nothing to route."""
    reduction: int = setting(8, "Router reduction", ge=1, le=256)
    """The hidden layer of a router or channel gate has this many times fewer units than its input."""
    routing: Literal["learned", "random", "uniform"] = setting("learned", "Routing")
    """learned: a router weights the experts for each image. As controls, random: the router keeps its initial weights, while
    the rest of the network learns; uniform: every expert gets 1/K.
    """
    mixing: Literal["outputs", "kernels"] = setting("outputs", "Mixing")
    """What the routing weights mix. outputs: those of the experts, each with its own norm. kernels: those of the experts,
    before a single convolution and norm, which costs about as much as one expert (CondConv; Yang 2019, arXiv:1904.04971;
    Dynamic Convolution; Chen 2020, arXiv:1912.03458).
    """
    router_input: Literal["mean", "mean_deviation"] = setting("mean", "Router input", advanced=True)
    """What the router sees of each feature map: its spatial mean, or its standard deviation too, which distinguishes textures
    (Lee 2019, arXiv:1903.10829).
    """
    router_output: Literal["softmax", "sigmoid"] = setting("softmax", "Router output", advanced=True)
    """softmax: routing weights that sum to 1. sigmoid: each between 0 and 1, as in CondConv (Yang 2019, arXiv:1904.04971);
    the weights shown are their shares of the sum.
    """
    top_k: int = setting(0, "Experts per image", ge=0, le=16)
    """Use only this many experts of a block for each image, those with the largest routing weights (Shazeer 2017,
    arXiv:1701.06538; a single one in Switch; Fedus 2021, arXiv:2101.03961). All are still computed. 0 uses all.
    """
    balance: float = setting(0.0, "Load balancing", advanced=True, step=0.01, ge=0.0, le=10.0)
    """Weight of a loss that spreads the images over the experts, if only some are used per image. Without it, a router can
    neglect experts. Fedus 2021 (arXiv:2101.03961) use 0.01. 0 turns it off.
    """
    gates: Literal["none", "se", "odconv"] = setting("none", "Channel gates", advanced=True)
    """se: scale the channels that a block with experts outputs, for each image (squeeze-and-excitation; Hu 2018,
    arXiv:1709.01507). odconv: scale the inputs, outputs and positions of mixed kernels (Li 2022, arXiv:2209.07947). A single
    expert per block can have gates too.
    """
    pool_after: Numbers = setting((), "Pool after blocks", kind="blocks")
    """Blocks (from 1) followed by 2x2 max pooling, which makes later blocks four times cheaper."""
    widths: Numbers = setting((), "Channels per stage", unit="feature maps")
    """Channels of each stage, such as 32,64,128. Each pooling starts a new stage. Empty: the same in all blocks."""
    residual: bool = setting(False, "Residual blocks")
    """Add each block's input to its output, which helps deep networks learn (He 2016, arXiv:1512.03385)."""
    expert_blocks: Numbers = setting((), "Blocks with experts", kind="blocks")
    """Blocks (from 1) that have experts and a router. The others are plain convolutions. Empty: all blocks have experts."""
    activation: Literal["relu", "gelu", "silu"] = setting("relu", "Activation", advanced=True)
    """ReLU, GELU (Hendrycks 2016, arXiv:1606.08415) or SiLU (Elfwing 2017, arXiv:1702.03118)."""
    pool_before_norm: bool = setting(False, "Pool before the norm", advanced=True)
    """Pool inside a block, before its norm, instead of after it (Jordan 2024, arXiv:2404.00498). The block itself then
    starts a new stage.
    """
    whitened_stem: bool = setting(False, "Whitened stem", advanced=True)
    """Start with 24 fixed 2x2 filters that whiten the patches of the training images (Page 2019; Jordan 2024). Only their
    bias is trained, for the first 3 epochs.
    """
    dirac: bool = setting(False, "Start as the identity", advanced=True)
    """Initialize convolutions so that their first filters pass the input through (Dirac; Zagoruyko 2017, arXiv:1706.00388).
    Of several experts, only the first starts this way, because equal experts would stay equal.
    """
    norm_scale: bool = setting(True, "Learned norm scale", advanced=True)
    """Learn the scale of each batch norm. Its bias is always learned. Off in Jordan 2024 (arXiv:2404.00498)."""
    norm_momentum: float = setting(0.1, "Norm momentum", advanced=True, step=0.1, gt=0.0, le=1.0)
    """Share of each batch in the running statistics of the batch norms. Short runs need a larger share.
    Jordan 2024 (arXiv:2404.00498) uses 0.4.
    """
    head: Literal["mean", "max"] = setting("mean", "Pooling of the classifier", advanced=True)
    """mean: the spatial mean of each feature map. max: its largest value, no bias, and logits divided by the width
    (Jordan 2024, arXiv:2404.00498).
    """
    start_from: Annotated[str, Field(pattern=r"^[0-9a-z-]{0,40}$")] = setting("", "Start from")
    """The ID of a trained run with the same network and image size, or nothing. The new network starts with its weights instead
    of random ones, except in the classifier, so that it learns from few images.
    """

    @model_validator(mode="after")
    def _named_blocks_exist(self) -> Self:
        for name in ("pool_after", "expert_blocks"):
            blocks = getattr(self, name)
            entered = f"You entered {format_value(blocks)}."
            if any(not 1 <= block <= self.num_blocks for block in blocks):
                raise ValueError(f"`model.{name}` must list blocks between 1 and {self.num_blocks}. {entered}")
            if len(set(blocks)) != len(blocks):
                raise ValueError(f"`model.{name}` must list each block once. {entered}")
        return self

    @model_validator(mode="after")
    def _widths_fit(self) -> Self:
        entered = f"You entered {format_value(self.widths)}."
        stages = self._stages[-1] + 1
        if self.widths and len(self.widths) != stages:
            raise ValueError(f"`model.widths` needs {counted(stages, 'number')}, one per stage. {entered}")
        if any(not 1 <= width <= 1024 for width in self.widths):
            raise ValueError(f"`model.widths` must contain numbers between 1 and 1024. {entered}")
        return self

    @model_validator(mode="after")
    def _no_block_narrows(self) -> Self:
        widths = (self.stem_width, *self.block_widths)
        for name in ("dirac", "residual"):
            if getattr(self, name) and sorted(widths) != list(widths):
                raise ValueError(
                    f"`model.{name}` needs blocks that have at least as many channels as they receive. "
                    f"The stem and the blocks have {', '.join(map(str, widths))}."
                )
        return self

    @model_validator(mode="after")
    def _kind_fits(self) -> Self:
        if self.gates == "odconv" and self.mixing != "kernels":
            raise ValueError("`model.gates` can be odconv only if kernels are mixed. Set `model.mixing` to kernels.")
        if self.routing == "uniform":  # without a router, its settings have no effect
            return self
        if self.top_k > self.num_experts:
            raise ValueError(
                f"`model.top_k` must be at most `model.num_experts` ({self.num_experts}). You entered {self.top_k}."
            )
        if self.top_k and self.router_output == "sigmoid":
            raise ValueError(
                "`model.top_k` needs a softmax. Set `model.router_output` to softmax, or `model.top_k` to 0."
            )
        if self.balance and not self.top_k:
            raise ValueError(
                "`model.balance` needs experts to choose from. Set `model.top_k` to at least 1, or `model.balance` to 0."
            )
        return self

    @property
    def _stages(self) -> list[int]:
        """The stage (from 0) of each block: how many poolings lie between the first block and it."""
        inside = self.pool_before_norm
        poolings = [
            sum(pooled < block or (inside and pooled == block) for pooled in self.pool_after)
            for block in range(1, self.num_blocks + 1)
        ]
        return [count - poolings[0] for count in poolings]

    @property
    def block_widths(self) -> tuple[int, ...]:
        """Output channels of each block."""
        return tuple(self.widths[stage] if self.widths else self.channels for stage in self._stages)

    @property
    def stem_width(self) -> int:
        """Output channels of the stem."""
        return WHITENED_WIDTH if self.whitened_stem else self.block_widths[0]

    @property
    def routed_blocks(self) -> tuple[int, ...]:
        """The blocks (from 1) that have experts and a router."""
        return tuple(sorted(self.expert_blocks)) or tuple(range(1, self.num_blocks + 1))


class DataSettings(Section):
    """The images, how they are split, and how they are augmented."""

    dataset: str = setting("digits", "Dataset", basic=True, min_length=1)
    """A built-in dataset, the ID of one of yours, or the path of a folder or archive of class folders."""
    image_size: int = setting(32, "Image size", unit="pixels", step=8, ge=8, le=128)
    """Width and height to which images are resized for the network. Twice the size takes about four times as much computation."""
    validation_share: float = setting(0.1, "Validation share", step=0.05, ge=0.0, le=0.5)
    """Share of the training images held out to choose the best epoch.
    With 0, the test set is measured after every epoch, and the last epoch counts as the best.
    """
    class_balance: Literal["none", "weights", "sampling"] = setting("none", "Class balance", advanced=True)
    """For classes of uneven size. weights: the loss of an image counts in inverse proportion to the size of its class. sampling:
    every epoch draws each class equally often, and so the same images of small classes several times.
    """
    crop_padding: int = setting(4, "Crop padding", unit="pixels", ge=0, le=32)
    """Pixels added on each side before a random crop. 0 turns it off."""
    crop_fill: Literal["zeros", "reflect"] = setting("zeros", "Crop padding with", advanced=True)
    """The added pixels: black, or the image reflected at its edge (Jordan 2024, arXiv:2404.00498)."""
    flip: Literal["auto", "on", "off"] = setting("auto", "Horizontal flip")
    """Mirror half of the training images. auto leaves digits and house numbers unchanged."""
    alternating_flip: bool = setting(False, "Alternating flip")
    """Mirror each image every second time that it is learned from, instead of at random (Jordan 2024, arXiv:2404.00498). If classes
    are balanced by sampling, images are drawn at random, and so they are mirrored at random too.
    """
    cutout: int = setting(0, "Cutout", unit="pixels", ge=0, le=128)
    """Side of a square erased at a random place in each training image (DeVries 2017, arXiv:1708.04552).
    0 turns it off.
    """
    mixup: float = setting(0.0, "Mixup", step=0.1, ge=0.0, le=10.0)
    """Blend pairs of images. This is a in Beta(a, a), which gives the shares (Zhang 2018, arXiv:1710.09412). 0 turns it off."""
    cutmix: float = setting(0.0, "CutMix", step=0.1, ge=0.0, le=10.0)
    """Paste a rectangle of another image. This is a in Beta(a, a), which gives its share (Yun 2019, arXiv:1905.04899).
    0 turns it off. If Mixup is on too, each batch uses one of the two.
    """
    resolutions: Numbers = setting((), "Resolutions through training", unit="pixels", advanced=True)
    """Resize the training images to each of these sizes for an equal share of the steps, such as 24,28,32. Early steps
    then cost less (Tan 2021, arXiv:2104.00298). Empty: the image size throughout.
    """
    six_views: bool = setting(False, "Test with six views", advanced=True)
    """Also measure the test accuracy with six views of each hard image: its mirror image, and both moved by one
    pixel along the diagonal (Jordan 2024, arXiv:2404.00498). Needs flips.
    """


class TrainingSettings(Section):
    """The optimizer, its schedule and what is saved."""

    epochs: int = setting(100, "Epochs", basic=True, ge=1, le=10_000)
    """Passes through the training images."""
    batch_size: int = setting(128, "Batch size", unit="images", step=16, basic=True, ge=1, le=16_384)
    """Images per step."""
    optimizer: Literal["adamw", "sgd", "muon", "muon_sgd"] = setting("adamw", "Optimizer")
    """AdamW (Loshchilov 2019, arXiv:1711.05101), SGD with Nesterov momentum, or Muon (Jordan 2024) for the kernels with AdamW
    for the rest. muon_sgd, as in airbench94_muon (Jordan 2024), keeps the size of the kernels, and trains the rest with SGD.
    """
    lr: float = setting(3e-4, "Learning rate", basic=True, gt=0.0, le=10.0)
    """Highest learning rate of the schedule."""
    router_lr_share: float = setting(1.0, "Router learning rate share", step=0.05, gt=0.0, le=1.0)
    """Routers and channel gates learn at this share of the learning rate. At rates that suit the kernels, routers can
    collapse.
    """
    bias_lr_share: float = setting(1.0, "Norm bias learning rate share", advanced=True, step=0.05, gt=0.0, le=1000.0)
    """Biases of norms learn at this multiple of the learning rate (Page 2019; Jordan 2024, arXiv:2404.00498)."""
    sgd_lr: float = setting(0.67, "SGD learning rate", advanced=True, step=0.1, gt=0.0, le=100.0)
    """With muon_sgd, the peak for all but the kernels. It is per image: the loss is summed over the batch
    (Jordan 2024, arXiv:2404.00498).
    """
    sgd_momentum: float = setting(0.85, "SGD momentum", advanced=True, step=0.05, ge=0.0, lt=1.0)
    """With muon_sgd, the Nesterov momentum for all but the kernels (Jordan 2024, arXiv:2404.00498)."""
    weight_decay: float = setting(1e-3, "Weight decay", ge=0.0, le=10.0)
    """Decoupled with AdamW, an L2 penalty with SGD. With muon_sgd, the share lost per step at the peak."""
    decay_all: bool = setting(True, "Decay all weights")
    """Apply weight decay to batch norms, biases, routers and channel gates too. Off: only to convolutions and the
    classifier.
    """
    momentum: float = setting(0.9, "Momentum", step=0.05, ge=0.0, lt=1.0)
    """Nesterov momentum of SGD and Muon."""
    schedule: Literal["cosine", "one_cycle"] = setting("cosine", "Schedule")
    """cosine: annealing to zero (Loshchilov 2017, arXiv:1608.03983). one_cycle: a linear rise, then a linear fall to zero."""
    warmup_share: float = setting(0.0, "Warm-up share", step=0.05, ge=0.0, le=0.9)
    """Share of all steps in which the learning rate rises from zero (Goyal 2017, arXiv:1706.02677)."""
    hardest_share: float = setting(1.0, "Hardest share of a batch", advanced=True, step=0.05, ge=0.05, le=1.0)
    """Learn from this share of each batch only: from the images with the largest losses when the network last learned from
    them, and first from those that are new (Jiang 2019, arXiv:1910.00762). The learning rates stay those of a whole batch.
    1 learns from all, as Mixup and CutMix need.
    """
    label_smoothing: float = setting(0.0, "Label smoothing", step=0.05, ge=0.0, lt=1.0)
    """Share of the target spread evenly over all classes (Szegedy 2016, arXiv:1512.00567)."""
    gradient_clip: float = setting(0.0, "Gradient clipping", step=0.5, ge=0.0, le=1000.0)
    """Maximum norm of the gradient of all weights together (Pascanu 2013, arXiv:1211.5063). 0 turns it off."""
    expert_dropout: float = setting(0.0, "Expert dropout", advanced=True, step=0.05, ge=0.0, lt=1.0)
    """Probability with which each expert of a block is left out for an image of a step. The others share its routing
    weight, and one always remains (drop-path; Larsson 2016, arXiv:1605.07648). 0 turns it off.
    """
    frozen_epochs: int = setting(10, "Frozen epochs", unit="epochs", ge=0, le=10_000)
    """With a start from another run, train only the classifier for this many epochs, and then the whole network. With at least
    as many as there are epochs, the copied weights stay as they are. Without such a start, it has no effect.
    """
    ema: float = setting(0.0, "Weight averaging", step=0.001, ge=0.0, lt=1.0)
    """Evaluate a moving average of the weights with this decay per step (Polyak 1992). 0 turns it off."""
    temperature: float = setting(1.0, "Router temperature", step=1.0, ge=1.0, le=1000.0)
    """Initial temperature of the router softmax.
    It falls to 1, so that all experts learn at first (Chen 2020, arXiv:1912.03458).
    """
    temperature_share: float = setting(0.1, "Temperature annealing share", step=0.05, gt=0.0, le=1.0)
    """Share of all steps in which the router temperature falls to 1."""
    sync_norm: bool = setting(True, "Synchronized batch norms", advanced=True)
    """With several processes, take the statistics of batch norms over the images of all of them, so that their number does not
    change what is learned. Off: each process takes those of its own images, which is faster.
    """
    patience: int = setting(0, "Patience", unit="epochs", ge=0, le=10_000)
    """Stop after this many epochs without a better validation accuracy. 0 never stops early."""
    max_minutes: float = setting(0.0, "Time limit", unit="minutes", step=5.0, ge=0.0, le=100_000.0)
    """Stop before the first epoch that would end after this many minutes of training, if it took as long as the last one.
    0 is no limit.
    """
    keep_every: int = setting(0, "Save a checkpoint every", unit="epochs", ge=0, le=10_000)
    """Save extra checkpoints, to see the routing through training. 0 saves only the best and the last."""
    tensorboard: bool = setting(False, "TensorBoard")
    """Log each epoch for TensorBoard in the run's folder. Requires the tensorboard package."""
    mlflow: bool = setting(False, "MLflow")
    """Send settings, curves, results and the best weights to MLflow: to the server that MLFLOW_TRACKING_URI names, or else to
    mlflow.db in the folder of the runs. Requires the mlflow package.
    """
    wandb: bool = setting(False, "Weights & Biases")
    """Send settings, curves, results and the best weights to Weights & Biases, or to the run's folder if nobody is logged in on
    this computer. Requires the wandb package.
    """

    def learned_images(self, batch: int, processes: int = 1) -> int:
        """Return how many images of a batch are learned from: as many by each process, and at least one."""
        share = int(self.hardest_share * batch + 1e-6)  # 0.58 of 100 is a little less than 58 as a float
        return max(share // processes, 1) * processes


class HardwareSettings(Section):
    """Where and in which number format training runs."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = setting("auto", "Device")
    """auto, cpu, mps, cuda or cuda:1. auto uses the first accelerator."""
    precision: Literal["auto", "fp32", "bf16"] = setting("auto", "Precision")
    """Number format of the convolutions. auto uses bf16 on devices that compute it faster than fp32."""
    channels_last: bool = setting(True, "Channels last")
    """Store the channels of each pixel together, which is faster on most devices."""
    compile: Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_or_off)] = setting("auto", "Compile")
    """Use torch.compile: a slower start, then faster steps. auto compiles long runs of one process, except on Apple GPUs."""
    processes: int = setting(1, "Processes", ge=1, le=1024)
    """Processes that train the run together, each on a GPU of its own or with its share of the processor's threads. They divide
    the images of every step.
    """
    own_process: bool = setting(False, "Separate process")
    """Train in a separate process, which survives a restart of the app and can be stopped by force.
    It starts a few seconds later.
    """


class Settings(Section):
    """All settings of a run."""

    seed: int = setting(0, "Seed", ge=0, le=LAST_SEED)
    """Seeds every random choice: weights, split, order and augmentation. The same seed repeats a training; another one
    shows how much of a result is chance.
    """
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    training: TrainingSettings = TrainingSettings()
    hardware: HardwareSettings = HardwareSettings()

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        size, pools, lost = self.data.image_size, len(self.model.pool_after), int(self.model.whitened_stem)
        least = 2**pools + lost  # the filters of a whitened stem lie inside the image
        why = ", the fewest pixels that `model.whitened_stem` can cover" if lost else ""
        if pools:
            taken = " after `model.whitened_stem` took one away" if lost else ""
            why = f", the fewest pixels that `model.pool_after` can halve {counted(pools, 'time')}{taken}"
        if size < least:
            raise ValueError(f"`data.image_size` must be at least {least}{why}. You entered {size}.")
        if any(not least <= resolution <= size for resolution in self.data.resolutions):
            raise ValueError(
                f"`data.resolutions` must list sizes between {least}{why}{',' if why else ''} and `data.image_size` ({size}). "
                f"You entered {format_value(self.data.resolutions)}."
            )
        processes, share = self.hardware.processes, self.training.hardest_share
        if self.smallest_map == self.training.learned_images(self.training.batch_size, processes) // processes == 1:
            raise ValueError(
                f"`training.batch_size` must be at least {math.ceil(2 * processes / share)}, because batch norm needs more than one value "
                f"and `model.pool_after` leaves one pixel per image. You entered {self.training.batch_size}."
            )
        for name in ("cutout", "crop_padding"):
            value = getattr(self.data, name)
            if value > size:
                raise ValueError(f"`data.{name}` must be at most `data.image_size` ({size}). You entered {value}.")
        if self.data.crop_fill == "reflect" and self.data.crop_padding >= size:
            raise ValueError(
                f"`data.crop_padding` must be less than `data.image_size` ({size}) to reflect. You entered {self.data.crop_padding}."
            )
        return self

    @model_validator(mode="after")
    def _routing_fits(self) -> Self:
        training, model = self.training, self.model
        if model.routing == "uniform":
            return self
        if training.temperature > 1 and model.router_output == "sigmoid":
            raise ValueError(
                f"`training.temperature` must be 1 with sigmoids, since it flattens a softmax. You entered {training.temperature:g}."
            )
        if training.expert_dropout and model.top_k:
            raise ValueError(
                "`training.expert_dropout` would use experts that the router did not choose. Set it to 0, or `model.top_k` to 0."
            )
        return self

    @model_validator(mode="after")
    def _processes_fit(self) -> Self:
        count, hardware, size = self.hardware.processes, self.hardware, self.training.batch_size
        if count == 1:
            return self
        if size % count:
            raise ValueError(
                f"`training.batch_size` must be a multiple of `hardware.processes` ({count}), which divide each step. You entered {size}."
            )
        chosen = self.training.learned_images(size)
        if chosen % count:
            raise ValueError(
                f"`training.hardest_share` of a batch must be a multiple of `hardware.processes` ({count}), which divide each step. "
                f"You entered {self.training.hardest_share:g}, which is {counted(chosen, 'image')}."
            )
        for key, value, wrong, instead in (
            ("hardware.device", hardware.device, hardware.device not in ("auto", "cpu", "cuda"), "auto, cpu or cuda"),
            ("data.class_balance", "weights", self.data.class_balance == "weights", "none or sampling"),
        ):
            if wrong:
                raise ValueError(f"`{key}` must be {instead} with several `hardware.processes`. You entered {value}.")
        return self

    @model_validator(mode="after")
    def _hardest_fits(self) -> Self:
        for name in ("mixup", "cutmix"):
            if self.training.hardest_share < 1 and getattr(self.data, name):
                raise ValueError(
                    f"`training.hardest_share` must be 1 with `data.{name}`, since the loss of a mixed image says how it was mixed, and "
                    f"not how hard it is. You entered {self.training.hardest_share:g}."
                )
        return self

    @model_validator(mode="after")
    def _patience_fits(self) -> Self:
        if self.training.patience and self.watches_test:
            raise ValueError(
                "`training.patience` needs validation images. Set `data.validation_share` above 0, or `training.patience` to 0. "
                f"You entered {self.training.patience}."
            )
        return self

    @property
    def smallest_map(self) -> int:
        """Width and height of the smallest input of the last norm, in pixels."""
        inside = self.model.pool_before_norm
        pools = sum(inside or block < self.model.num_blocks for block in self.model.pool_after)
        return (min((self.data.image_size, *self.data.resolutions)) - self.model.whitened_stem) >> pools

    @property
    def watches_test(self) -> bool:
        """Whether val_* figures are measured on the test set, because there are no validation images."""
        return self.data.validation_share == 0
