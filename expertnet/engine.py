"""Training: no disk, no threads, no browser.

In this module: learning_rate (the schedule), Progress, TrainingError, and Trainer, whose run() yields a Progress after
every step, evaluation batch and epoch. Whoever iterates may stop at any record; state_dict() taken at an "epoch" record
is all that going on from there needs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from expertnet.augment import augment, normalize
from expertnet.config import Settings, TrainingSettings
from expertnet.datasets import Dataset, Split, flips
from expertnet.devices import available_threads, resolve_device, resolve_precision
from expertnet.evaluation import Evaluation, evaluating
from expertnet.model import ExpertNet


class TrainingError(RuntimeError):
    """Training cannot go on; the text is one sentence with what to try. `kind` is "nan" or "memory"."""

    def __init__(self, message: str, kind: Literal["nan", "memory"]) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Progress:
    kind: Literal["step", "evaluation", "epoch", "test"]
    epoch: int  # the epoch in progress, from 1; at "epoch" the one just completed
    step: int
    steps: int
    loss: float | None = None  # of a step, read only now and then
    images_per_second: float | None = None
    metrics: dict[str, Any] | None = None  # at "epoch": a metrics line; at "test": test_loss and test_accuracy


def learning_rate(training: TrainingSettings, done: float) -> float:
    """The learning rate when the share `done` (0 to 1) of all steps is behind.

    Both schedules rise linearly over the warm-up share; then cosine annealing (Loshchilov 2017, arXiv:1608.03983), or the
    straight fall of one-cycle (Smith 2018, arXiv:1708.07120).
    """
    warmup = training.warmup_share
    if done < warmup:
        return training.lr * done / warmup
    fall = (done - warmup) / (1 - warmup)
    return training.lr * ((1 - fall) if training.schedule == "one_cycle" else (1 + math.cos(math.pi * fall)) / 2)


class Trainer:
    """Trains an ExpertNet as the settings say: run() yields Progress records to the end.

    Every random draw comes from one generator seeded with settings.seed (and the initial weights from that seed), so
    the same settings on the same machine with the same number of threads give the same numbers.
    """

    def __init__(
        self,
        settings: Settings,
        data: Dataset,
        *,
        threads: int | None = None,
        log: Callable[[str], None] = lambda sentence: None,
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
            self.model = ExpertNet(settings.model, self.num_classes)
        layout = torch.channels_last if settings.hardware.channels_last else torch.contiguous_format
        self.model.to(device=self.device, memory_format=layout)  # type: ignore[call-overload]
        self.forward: Callable[..., Any] = torch.compile(self.model) if settings.hardware.compile else self.model
        self.optimizer = self._make_optimizer()
        self.train, self.validation, self.test = (
            Split(split.images.to(self.device), split.labels.to(self.device))
            for split in (data.train, data.validation, data.test)
        )
        self.mean, self.std = (torch.tensor(values, device=self.device) for values in (data.info.mean, data.info.std))
        self.flips = flips(settings.data)
        self.batch_size = min(settings.training.batch_size, len(self.train))
        self.steps = len(self.train) // self.batch_size  # the last, partial batch waits for another epoch's order
        self.epoch = 0  # completed
        self.best: dict[str, Any] = {"epoch": 0, "accuracy": None, "weights": self.weights()}

    def _make_optimizer(self) -> torch.optim.Optimizer:
        training = self.settings.training
        if training.optimizer == "adamw":
            return torch.optim.AdamW(
                self.model.parameters(), lr=training.lr, weight_decay=training.weight_decay, fused=True
            )
        return torch.optim.SGD(
            self.model.parameters(),
            lr=training.lr,
            weight_decay=training.weight_decay,
            momentum=training.momentum,
            nesterov=training.momentum > 0,
            fused=True,
        )

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def weights(self) -> dict[str, Tensor]:
        """The weights as evaluated: copies on the CPU, contiguous."""
        return {
            name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, value in self.model.state_dict().items()
        }

    def state_dict(self) -> dict[str, Any]:
        """All that going on from the last completed epoch needs; tensors and plain values only."""
        return {
            "epoch": self.epoch,
            "model": self.weights(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "generator": self.generator.get_state(),
            "threads": self.threads,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.best, self.threads = state["epoch"], state["best"], state["threads"]
        torch.set_num_threads(self.threads)  # another number would sum in another order
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def run(self) -> Iterator[Progress]:
        """Trains from the last completed epoch to the last, then measures the best weights on the test set, once.

        Raises TrainingError on a loss that is not finite and when memory runs out.
        """
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

    def _out_of_memory(self) -> TrainingError:
        return TrainingError(
            f"The {'computer' if self.device.type == 'cpu' else 'GPU'} ran out of memory with "
            f"{self.batch_size} pictures a step; try training.batch_size={max(self.batch_size // 2, 1)}.",
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
            "lr": self.optimizer.param_groups[0]["lr"],
            "seconds": time.perf_counter() - started,
            "images_per_second": seen / trained,
            **evaluation.routing_metrics(),
        }
        yield Progress("epoch", epoch, self.steps, self.steps, images_per_second=seen / trained, metrics=metrics)

    def _step(self, chosen: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """One update on the pictures with these indices: mean loss and number right, left on the device."""
        training = self.settings.training
        rate = learning_rate(training, ((epoch - 1) * self.steps + step + 1) / (training.epochs * self.steps + 1))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        labels = self.train.labels[chosen]
        images = normalize(
            augment(self.train.images[chosen], self.settings.data, self.flips, self.generator), self.mean, self.std
        )
        if self.settings.hardware.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            logits = self._compute(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=training.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if training.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), training.gradient_clip)
        self.optimizer.step()
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

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

    def _evaluate(self, split: Split, epoch: int) -> Generator[Progress, None, Evaluation]:
        self.model.eval()
        batches = evaluating(self.model, split, self.mean, self.std, self.num_classes, self._autocast)
        while True:
            try:
                done, of = next(batches)
            except StopIteration as end:
                return end.value
            yield Progress("evaluation", epoch, done, of)

    def _run_test(self) -> Iterator[Progress]:
        """The best weights on the test set; where the test set was watched, that figure is there already."""
        self.model.load_state_dict(self.best["weights"])
        evaluation = yield from self._evaluate(self.test, self.epoch)
        yield Progress(
            "test",
            self.epoch,
            self.steps,
            self.steps,
            metrics={"test_loss": evaluation.loss, "test_accuracy": evaluation.accuracy},
        )
