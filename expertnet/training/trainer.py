"""Training: no disk, no threads, no browser.

In this module: Progress, TrainingError, and Trainer, whose run() yields a Progress after every step, evaluation batch and
epoch. Whoever iterates may stop at any record; state_dict() taken at an "epoch" record
is all that going on from there needs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from expertnet.data.augment import augment, mix, normalize
from expertnet.data.datasets import Dataset, flips
from expertnet.data.splits import Split
from expertnet.errors import TrainingError
from expertnet.network.cost import batch_size_text, estimate
from expertnet.network.evaluation import Evaluation, Evaluator, batches
from expertnet.network.model import ExpertBranch, ExpertNet
from expertnet.settings.schema import Settings
from expertnet.store.checkpoints import Best, ResumeState
from expertnet.training.optim import learning_rate, make_optimizers, temperature
from expertnet.utils.devices import (
    available_memory,
    available_threads,
    keep_freed_memory,
    release_freed_memory,
    resolve_device,
    resolve_precision,
)

WORTH_COMPILING = 2000  # steps


@dataclass(frozen=True)
class Progress:
    kind: Literal["step", "evaluation", "epoch", "test"]
    epoch: int  # the epoch in progress, from 1; at "epoch" the one just completed
    step: int
    steps: int
    loss: float | None = None  # of a step, read only now and then
    images_per_second: float | None = None
    metrics: dict[str, Any] | None = None  # at "epoch": a metrics line; at "test": test_loss and test_accuracy


class Trainer:
    """Trains an ExpertNet as the settings say: run() yields Progress records to the end.

    Every random draw comes from one generator seeded with settings.seed (and the initial weights from that seed), so
    the same settings on the same machine with the same number of threads give the same numbers. `network` makes another
    network to train in the same way, for comparison: it is called as an ExpertNet is.
    """

    def __init__(
        self,
        settings: Settings,
        data: Dataset,
        *,
        threads: int | None = None,
        log: Callable[[str], None] = lambda sentence: None,
        network: Callable[[], ExpertNet] | None = None,
    ) -> None:
        self.settings, self.data, self.log = settings, data, log
        self.device = resolve_device(settings.hardware.device)
        self.threads = threads or available_threads()
        torch.set_num_threads(self.threads)
        self.dtype = resolve_precision(settings.hardware.precision, self.device)
        self.num_classes = len(data.info.classes)
        self.generator = torch.Generator().manual_seed(settings.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.model = network() if network else ExpertNet(settings.model, self.num_classes)
        self.random = Random(settings.seed)
        layout = torch.channels_last if settings.hardware.channels_last else torch.contiguous_format
        self.model.to(device=self.device, memory_format=layout)  # type: ignore[call-overload]
        self.average = (
            AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(settings.training.ema), use_buffers=True)
            if settings.training.ema
            else None
        )
        self.optimizers = make_optimizers(self.model, settings.training)
        self.train, self.validation, self.test = (
            Split(split.images.to(self.device), split.labels.to(self.device))
            for split in (data.train, data.validation, data.test)
        )
        self.mean, self.std = (torch.tensor(values, device=self.device) for values in (data.info.mean, data.info.std))
        self.flips = flips(settings.data)
        coins = torch.randint(2, (len(self.train),), generator=torch.Generator().manual_seed(settings.seed))
        self.coins = coins.to(self.device) if settings.data.alternating_flip else None
        self.batch_size = min(settings.training.batch_size, len(self.train))
        self.steps = len(self.train) // self.batch_size  # the last, partial batch waits for another epoch's order
        self.forward: Callable[..., Any] = torch.compile(self.model) if self._compiles() else self.model
        self.epoch = 0  # completed
        self.best: Best = {"epoch": 0, "accuracy": None, "weights": self.weights()}

    def _compiles(self) -> bool:
        """Whether the network is compiled: auto does so where the steps are many enough to earn back the time it takes."""
        wanted, steps = self.settings.hardware.compile, self.steps * self.settings.training.epochs
        return wanted == "on" or (wanted == "auto" and self.device.type == "cuda" and steps >= WORTH_COMPILING)

    @property
    def evaluated(self) -> ExpertNet:
        """The network whose weights count: the averaged one where averaging is on."""
        return self.model if self.average is None else cast(ExpertNet, self.average.module)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def weights(self, model: ExpertNet | None = None) -> dict[str, Tensor]:
        """The weights as evaluated, or those of another model: copies on the CPU, contiguous."""
        return {
            name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, value in (model or self.evaluated).state_dict().items()
        }

    def state_dict(self) -> ResumeState:
        """All that going on from the last completed epoch needs; tensors and plain values only."""
        return {
            "epoch": self.epoch,
            "weights": self.weights(),
            "raw": self.weights(self.model) if self.average is not None else None,
            "averaged": int(self.average.n_averaged) if self.average is not None else 0,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "best": self.best,
            "generator": self.generator.get_state(),
            "random": self.random.getstate(),
            "threads": self.threads,
        }

    def load_state_dict(self, state: ResumeState) -> None:
        self.epoch, self.best, self.threads = state["epoch"], state["best"], state["threads"]
        torch.set_num_threads(self.threads)  # another number would sum in another order
        self.evaluated.load_state_dict(state["weights"])
        if self.average is not None:
            assert state["raw"] is not None
            self.model.load_state_dict(state["raw"])
            self.average.n_averaged.fill_(state["averaged"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.generator.set_state(state["generator"])
        self.random.setstate(state["random"])

    def run(self) -> Iterator[Progress]:
        """Trains from the last completed epoch to the last, then measures the best weights on the test set, once.

        Raises TrainingError on a loss that is not finite and when memory runs out.
        """
        keeps = self._keeps_memory()
        if keeps:
            keep_freed_memory()
        try:
            while self.epoch < self.settings.training.epochs:
                yield from self._run_epoch()
            yield from self._run_test()
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise self._out_of_memory() from error
        except RuntimeError as error:
            if "allocate memory" in str(error) or "out of memory" in str(error).lower():
                raise self._out_of_memory() from error
            raise
        finally:
            if keeps:
                release_freed_memory()

    def _keeps_memory(self) -> bool:
        """On a CPU with room for twice the memory that a run needs, since keeping it takes up to that."""
        needed = 2 * estimate(self.settings, self.num_classes).memory_bytes
        return self.device.type == "cpu" and needed < available_memory(self.device)

    def _out_of_memory(self) -> TrainingError:
        what = batch_size_text(self.settings, self.num_classes, available_memory(self.device))
        return TrainingError(
            f"The {'computer' if self.device.type == 'cpu' else 'GPU'} ran out of memory with {self.batch_size} images "
            f"a step. {what}",
            "memory",
        )

    def _run_epoch(self) -> Iterator[Progress]:
        started, epoch = time.perf_counter(), self.epoch + 1
        self.model.train()
        order = torch.randperm(len(self.train), generator=self.generator).to(self.device)
        totals = torch.zeros(
            2, dtype=torch.float64 if self.device.type != "mps" else torch.float32, device=self.device
        )  # loss, right
        read_every = 1 if self.device.type == "cpu" else 20  # reading a loss makes a GPU wait
        for step in range(self.steps):
            loss, right = self._step(order[step * self.batch_size : (step + 1) * self.batch_size], epoch, step)
            totals += torch.stack((loss, right)).to(totals.dtype)
            shown = None
            if step % read_every == 0 or step == self.steps - 1:
                shown = totals[0].item() / (step + 1)
                if not math.isfinite(shown):
                    raise TrainingError(
                        f"The loss stopped being a finite number in epoch {epoch}, step {step + 1}; try a lower learning rate "
                        f"(training.lr={self.settings.training.lr / 3:.2g}), gradient clipping, or precision fp32.",
                        "nan",
                    )
            speed = (step + 1) * self.batch_size / (time.perf_counter() - started)
            yield Progress("step", epoch, step + 1, self.steps, loss=shown, images_per_second=speed)
        trained = time.perf_counter() - started
        evaluation = yield from self._evaluate(self.validation, epoch)
        if not math.isfinite(evaluation.loss):
            raise TrainingError(
                f"The validation loss of epoch {epoch} is not a finite number; try a lower learning rate "
                f"(training.lr={self.settings.training.lr / 3:.2g}).",
                "nan",
            )
        self.epoch = epoch
        best = self.best["accuracy"]
        if (
            self.settings.watches_test or best is None or evaluation.accuracy > best
        ):  # nothing is chosen on the test set
            self.best = {"epoch": epoch, "accuracy": evaluation.accuracy, "weights": self.weights()}
        total_loss, total_right = totals.tolist()
        seen = self.steps * self.batch_size
        metrics = {
            "epoch": epoch,
            "train_loss": total_loss / self.steps,
            "train_accuracy": total_right / seen,
            "val_loss": evaluation.loss,
            "val_accuracy": evaluation.accuracy,
            "lr": self.optimizers[0].param_groups[0]["lr"],
            "seconds": time.perf_counter() - started,
            "images_per_second": seen / trained,
            **evaluation.routing_metrics(),
        }
        yield Progress("epoch", epoch, self.steps, self.steps, images_per_second=seen / trained, metrics=metrics)

    def _step(self, chosen: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """One update on the images with these indices: mean loss and number right, left on the device."""
        training, data = self.settings.training, self.settings.data
        self._schedule(((epoch - 1) * self.steps + step + 1) / (training.epochs * self.steps + 1))
        labels = self.train.labels[chosen]
        coins = None if self.coins is None else self.coins[chosen]
        images = augment(self.train.images[chosen], data, self.flips, self.generator, coins, epoch)
        images = normalize(images, self.mean, self.std)
        targets = [(labels, 1.0)]  # labels, and the share of the images that is theirs
        if data.mixup or data.cutmix:
            images, partner, share = mix(images, data, self.random, self.generator)
            targets = [(labels, share), (labels[partner], 1 - share)]
        if self.settings.hardware.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            logits = self._compute(images)
        loss = torch.stack(
            [
                F.cross_entropy(logits.float(), answers, label_smoothing=training.label_smoothing) * share
                for answers, share in targets
            ]
        ).sum()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if training.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), training.gradient_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        guessed = logits.detach().argmax(1)
        return loss.detach(), torch.stack([(guessed == answers).sum() * share for answers, share in targets]).sum()

    def _schedule(self, done: float) -> None:
        """Sets what changes over the training, at the share `done` of its steps."""
        training = self.settings.training
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(training, done) * group.get("lr_share", 1.0)
        if training.temperature > 1:
            for module in (*self.model.modules(), *self.evaluated.modules()):
                if isinstance(module, ExpertBranch):
                    module.temperature.fill_(temperature(training, done))

    def _compute(self, images: Tensor) -> Tensor:
        if self.forward is self.model:
            return self.model(images)
        try:
            return self.forward(images)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever the compiler trips over, the network itself can still be trained
            self.log(f"Compiling did not work here ({type(error).__name__}), so the run goes on without it.")
            self.forward = self.model
            return self.model(images)

    def _evaluate(self, split: Split, epoch: int, mirrored: bool = False) -> Generator[Progress, None, Evaluation]:
        evaluator = Evaluator(self.evaluated.eval(), self.mean, self.std, self._autocast, mirrored)
        parts = batches(split)
        for number, batch in enumerate(parts):
            yield Progress("evaluation", epoch, number, len(parts))
            evaluator.add(batch)
        return evaluator.result()

    def _run_test(self) -> Iterator[Progress]:
        """The best weights on the test set; where the test set was watched, that figure is there already."""
        self.evaluated.load_state_dict(self.best["weights"])
        evaluation = yield from self._evaluate(self.test, self.epoch, mirrored=self.flips)
        yield Progress(
            "test",
            self.epoch,
            self.steps,
            self.steps,
            metrics={
                "test_loss": evaluation.loss,
                "test_accuracy": evaluation.accuracy,
                "test_accuracy_mirrored": evaluation.accuracy_mirrored,
            },
        )
