"""One training step: augment a batch, compute the loss, update the weights."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from expertnet.data.augment import augment, mix, normalize, resized
from expertnet.data.datasets import flips
from expertnet.data.splits import Split, class_weights
from expertnet.errors import RunError
from expertnet.network.model import ExpertNet
from expertnet.network.router import Router
from expertnet.settings.schema import Settings
from expertnet.training.compiling import all_kernels, compiled
from expertnet.training.expert_dropout import ExpertDropout
from expertnet.training.hardest import Hardest
from expertnet.training.optim import complete_momentum, group_rate, make_optimizers, set_rate, temperature
from expertnet.training.parallel import Group, is_lost
from expertnet.training.recorder import Recorder, Results


class Updater:
    """Updates the weights of a model, and their average if `training.ema` is set.

    `train` lies on the model's device, as do the `mean` and `std` (3,) of its images. `generator` draws the augmentation,
    `dtype` is that of the convolutions, and `compiles` decides whether torch.compile is tried. The processes of the `group` divide
    the images of each step.
    """

    def __init__(
        self,
        model: ExpertNet,
        settings: Settings,
        train: Split,
        mean: Tensor,
        std: Tensor,
        generator: torch.Generator,
        dtype: torch.dtype,
        compiles: bool,
        log: Callable[[str], None],
        group: Group,
    ) -> None:
        self.group = group
        self.model, self.settings, self.train, self.mean, self.std = model, settings, train, mean, std
        self.generator, self.dtype, self.log = generator, dtype, log
        self.random = Random(settings.seed)
        trunk = [weight for name, weight in model.named_parameters() if not name.startswith("classifier.")]
        self.learning = [weight for weight in trunk if weight.requires_grad]
        self.average_warms_up = True  # runs of older versions resume without
        self.average = copy.deepcopy(model) if settings.training.ema else None
        self.averaged = 0  # updates of the average so far
        # the images that are left out of a batch would have added little to the sum of its losses, so its rates are kept
        self.optimizers = make_optimizers(model, settings.training, min(settings.training.batch_size, len(train)))
        self.flips = flips(settings.data)
        coins = torch.randint(2, (len(train),), generator=torch.Generator().manual_seed(settings.seed))
        classes = len(model.classifier.head.weight)
        self.class_weights = class_weights(train.labels, classes) if settings.data.class_balance == "weights" else None
        # an image that is drawn at random, perhaps several times in an epoch, is mirrored at random too
        alternates = settings.data.alternating_flip and settings.data.class_balance != "sampling"
        self.coins = coins.to(mean.device) if alternates else None
        share, experts = settings.training.expert_dropout, settings.model.num_experts
        self.dropouts = {block: ExpertDropout(share, experts) for block in settings.model.routed_blocks if share}
        chooses = settings.training.hardest_share < 1
        self.hardest = Hardest(settings.training, len(train), mean.device, group) if chooses else None
        if compiles:
            torch.compiler.reset()  # torch compiles only so many networks of a class, and says nothing to the user after that
        self.compiled = compiles
        self.compiled_works = False  # until a first step, which is when the compiler runs
        self.forward: Callable[..., Any] = self._forward()
        # with Mixup, CutMix or expert dropout, more than the batch changes from step to step
        mixes = settings.data.mixup or settings.data.cutmix
        alone = torch.cuda.is_available() and mean.device.type == "cuda" and group.count == 1
        records = alone and not (mixes or self.dropouts)
        self.recorder = Recorder(self._learn_labels, self.optimizers, mean.device, log) if records else None

    def freeze(self, frozen: bool) -> None:
        """Let only the classifier learn, with the batch norms as they are, or the whole network again."""
        self.model.train(not frozen)
        self.model.classifier.train()
        changes = self.learning[0].requires_grad is frozen
        for weight in self.learning:
            weight.requires_grad_(not frozen)
        for optimizer in self.optimizers if not frozen else ():
            complete_momentum(optimizer)
        if changes and self.recorder:
            self.recorder.forget()
        if changes and self.group.count > 1:
            self.forward = self._forward()  # the processes agree beforehand on the weights that learn

    def _forward(self) -> Callable[..., Any]:
        connected = self.group.connected(self.model, self.settings.training.sync_norm)
        return compiled(connected, self.mean.device) if self.compiled else connected

    @property
    def evaluated(self) -> ExpertNet:
        """The network to evaluate: the averaged one if averaging is on."""
        return self.model if self.average is None else self.average

    def kernels(self) -> AbstractContextManager[None]:
        """Choose kernels for a compiled network on a GPU with care."""
        return all_kernels(self.compiled and self.mean.is_cuda)

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.mean.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def step(self, chosen: Tensor, epoch: int, done: float) -> tuple[Tensor, Tensor]:
        """Update the weights with the images at these indices, after the share `done` of all steps.

        Returns the mean loss and the number of correct predictions, both still on the device. With several processes, these are of
        the images of this one. All draw the same numbers for all images, so that their number changes nothing.
        """
        data = self.settings.data
        self._schedule(done)
        if self.hardest:
            chosen = self.hardest.choose(chosen)
        labels = self.train.labels[chosen]
        turns = None
        if self.coins is not None:
            # of an image that is not learned from in every epoch, its own, or it might always be flipped or never
            turns = self.coins[chosen] + (self.hardest.times[chosen] if self.hardest else epoch)
        images = augment(self.train.images[chosen], data, self.flips, self.generator, turns)
        images = normalize(images, self.mean, self.std)
        if data.resolutions:
            images = resized(images, data.resolutions[int(done * len(data.resolutions))])
        targets = [(labels, 1.0)]  # labels, and their share in each image
        if data.mixup or data.cutmix:
            images, partner, share = mix(images, data, self.random, self.generator)
            targets = [(labels, share), (labels[partner], 1 - share)]
        images = self.group.share(images)
        targets = [(self.group.share(answers), share) for answers, share in targets]
        if self.settings.hardware.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        for dropout in self.dropouts.values():
            dropout.draw(len(labels), self.generator, images.device, self.group.share)
        loss, correct, logits = self.recorder(images, labels) if self.recorder else self._learn(images, targets)
        if self.hardest:
            self.hardest.remember(chosen, logits, self.group.share(labels))
        if self.average is not None:
            self._update_average(self.average)
        return loss, correct

    def _learn_labels(self, images: Tensor, labels: Tensor) -> Results:
        return self._learn(images, [(labels, 1.0)])

    def _learn(self, images: Tensor, targets: list[tuple[Tensor, float]]) -> Results:
        """Update the weights with normalized images."""
        loss, logits = self._gradients(images, targets)
        if self.settings.training.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.training.gradient_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        logits = logits.detach()
        predicted = logits.argmax(1)
        correct = torch.stack([(predicted == answers).sum() * share for answers, share in targets]).sum()
        return loss.detach(), correct, logits

    def _update_average(self, average: ExpertNet) -> None:
        """Move the average towards the current weights: fast at first, so that a short run does not evaluate its first step.

        torch's AveragedModel would make a GPU wait for its counter in every step.
        """
        decay = self.settings.training.ema if self.averaged else 0.0
        if self.average_warms_up:
            decay = min(decay, (1 + self.averaged) / (10 + self.averaged))
        ours, latest = ([*network.parameters(), *network.buffers()] for network in (average, self.model))
        for group in (True, False):  # the buffers that count batches are integers
            own, new = (
                [tensor for tensor in tensors if tensor.is_floating_point() is group] for tensors in (ours, latest)
            )
            get_ema_multi_avg_fn(decay)(own, new, self.averaged)
        self.averaged += 1

    def _schedule(self, done: float) -> None:
        """Set the learning rate and the temperature."""
        training = self.settings.training
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                set_rate(group, group_rate(training, group, done), self.mean.device if self.recorder else None)
        if training.temperature > 1:
            for module in (*self.model.modules(), *self.evaluated.modules()):
                if isinstance(module, Router):
                    module.temperature.fill_(temperature(training, done))

    def _gradients(self, images: Tensor, targets: list[tuple[Tensor, float]]) -> tuple[Tensor, Tensor]:
        """Compute the gradients, and return the mean loss and the logits. Falls back to eager if compiling fails.

        Raises RunError instead in several processes: the others may have compiled the network, and wait for these gradients.
        """
        if not self.compiled or (self.recorder and self.recorder.recording):
            return self._backward(images, targets)
        buffers = [] if self.compiled_works else [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        try:
            result = self._backward(images, targets)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # the compiler raises many types, and the network works without it
            fault = f"Compiling the network failed ({type(error).__name__})."
            if self.group.count > 1:
                if is_lost(error):
                    raise
                raise RunError(
                    f"{fault} Resume the run with one process, or start a new run with `hardware.compile` off."
                ) from error
            self.log(f"{fault} Training continues without it.")
            self.compiled, self.forward = False, self.model
            for buffer, before in buffers:  # a forward pass that succeeded has updated the batch norms
                buffer.copy_(before)
            return self._backward(images, targets)
        self.compiled_works = True
        return result

    def _backward(self, images: Tensor, targets: list[tuple[Tensor, float]]) -> tuple[Tensor, Tensor]:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        with self.kernels():
            with self.autocast():
                logits = self.forward(images, changes=self.dropouts) if self.dropouts else self.forward(images)
            smoothing = self.settings.training.label_smoothing
            losses = [
                F.cross_entropy(logits.float(), answers, self.class_weights, label_smoothing=smoothing) * share
                for answers, share in targets
            ]
            loss = torch.stack(losses).sum()
            loss.backward()
        return loss, logits
