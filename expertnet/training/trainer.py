"""Train a network in memory: no files, no threads, no browser."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping

import torch
from torch import Tensor

from expertnet.data.augment import normalize
from expertnet.data.datasets import Dataset
from expertnet.data.splits import Split, epoch_order
from expertnet.errors import SettingsError, TrainingError
from expertnet.network.evaluation import Evaluation, Evaluator, batches
from expertnet.network.model import ExpertNet
from expertnet.network.stem import WhitenedStem, sample
from expertnet.settings.schema import LAST_SEED, Settings
from expertnet.store.checkpoints import Best, ResumeState
from expertnet.store.history import HistoryRow
from expertnet.training.allocation import training_memory
from expertnet.training.compiling import is_worth_compiling
from expertnet.training.early_stop import early_end
from expertnet.training.optim import saved_state
from expertnet.training.parallel import ALONE, Group
from expertnet.training.progress import Progress, TestResult
from expertnet.training.updater import Updater
from expertnet.utils.devices import available_threads, resolve_device, resolve_precision
from expertnet.utils.text import counted


class Trainer:
    """Trains an ExpertNet. Iterate over run(), and stop at any record; take state_dict() at an "epoch" record.

    All random draws come from generators seeded with `settings.seed`, so the same settings, machine and number of threads
    give the same numbers. `network` creates another network with the interface of ExpertNet, for comparison.
    `start` has weights to start with instead of random ones. The processes of a `group` train together, and report alike.
    """

    def __init__(
        self,
        settings: Settings,
        data: Dataset,
        *,
        threads: int | None = None,
        log: Callable[[str], None] = lambda sentence: None,
        network: Callable[[], ExpertNet] | None = None,
        start: Mapping[str, Tensor] | None = None,
        group: Group = ALONE,
    ) -> None:
        self.settings, self.group = settings, group
        self.device = resolve_device(settings.hardware.device)
        self.threads = threads or available_threads()
        torch.set_num_threads(self.threads)
        self.dtype = resolve_precision(settings.hardware.precision, self.device)
        self.num_classes = len(data.info.classes)
        self.generator = torch.Generator().manual_seed(settings.seed)
        with torch.random.fork_rng(devices=[]):
            # A source of the same seed began with the classifier of this seed, and its weights fit that: so it would not be new.
            torch.manual_seed(settings.seed + (LAST_SEED + 1 if start else 0))
            self.model = network() if network else ExpertNet(settings.model, self.num_classes)
            if isinstance(self.model.stem, WhitenedStem):
                means, stds = torch.tensor(data.info.mean), torch.tensor(data.info.std)
                self.model.stem.whiten(normalize(sample(data.train.images), means, stds))
        if start:
            self.model.load_state_dict({**self.model.state_dict(), **start})
        layout = torch.channels_last if settings.hardware.channels_last else torch.contiguous_format
        self.model.to(device=self.device, memory_format=layout)  # type: ignore[call-overload]
        self.labels = data.train.labels  # on the CPU, where the order of an epoch is drawn
        self.train, self.validation, self.test = (
            Split(split.images.to(self.device), split.labels.to(self.device))
            for split in (data.train, data.validation, data.test)
        )
        self.mean, self.std = (torch.tensor(values, device=self.device) for values in (data.info.mean, data.info.std))
        self.batch_size = min(settings.training.batch_size, len(self.train)) // group.count * group.count
        if not self.batch_size:
            raise SettingsError(
                f"`hardware.processes` must be at most {len(self.train)}, the number of training images."
            )
        # images that a step learns from
        self.learned = settings.training.learned_images(self.batch_size, group.count)
        if settings.smallest_map == self.learned // group.count == 1:
            raise SettingsError(
                f"Batch norm needs more than one value, but with {counted(len(self.train), 'training image')} a step has one image and "
                "`model.pool_after` leaves one pixel of it. Add images, or pool after fewer blocks."
            )
        self.steps = len(self.train) // self.batch_size  # per epoch; drops the last, partial batch, even a single image
        self.compiles = is_worth_compiling(settings, self.device, self.steps, self.batch_size, self.num_classes)
        self.updater = Updater(
            self.model, settings, self.train, self.mean, self.std, self.generator, self.dtype, self.compiles, log, group
        )
        self._log = log
        self.epoch = 0  # completed
        self.history: list[HistoryRow] = []  # of the completed epochs; whoever resumes a run adds those before
        self.best: Best = {"epoch": 0, "accuracy": None, "weights": self.weights()}

    @property
    def evaluated(self) -> ExpertNet:
        """The network to evaluate: the averaged one if averaging is on."""
        return self.updater.evaluated

    def weights(self, model: ExpertNet | None = None) -> dict[str, Tensor]:
        """Return contiguous copies on the CPU of the weights to evaluate, or of those of another model."""
        return {
            name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, value in (model or self.evaluated).state_dict().items()
        }

    def state_dict(self) -> ResumeState:
        """Return everything needed to resume after the last completed epoch."""
        average, hardest = self.updater.average, self.updater.hardest
        return {
            "epoch": self.epoch,
            "weights": self.weights(),
            "raw": self.weights(self.model) if average is not None else None,
            "averaged": self.updater.averaged,
            "average_warms_up": self.updater.average_warms_up,
            "optimizers": [saved_state(optimizer) for optimizer in self.updater.optimizers],
            "losses": hardest.losses.to("cpu", copy=True) if hardest else None,
            "times": hardest.times.to("cpu", copy=True) if hardest else None,
            "best": self.best,
            "generator": self.generator.get_state(),
            "random": self.updater.random.getstate(),
            "threads": self.threads * self.group.count,
        }

    def load_state_dict(self, state: ResumeState) -> None:
        self.epoch, self.best = state["epoch"], state["best"]
        self.threads = max(state["threads"] // self.group.count, 1)
        torch.set_num_threads(self.threads)  # the number of threads changes the order of sums
        self.evaluated.load_state_dict(state["weights"])
        average = self.updater.average
        if average is not None:
            assert state["raw"] is not None
            self.model.load_state_dict(state["raw"])
            self.updater.averaged = state["averaged"]
            self.updater.average_warms_up = state.get("average_warms_up", False)
        for optimizer, saved in zip(self.updater.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        losses, times = state.get("losses"), state.get("times")
        if self.updater.hardest and losses is not None and times is not None:
            self.updater.hardest.losses.copy_(losses)
            self.updater.hardest.times.copy_(times)
        self.generator.set_state(state["generator"])
        self.updater.random.setstate(state["random"])

    def run(self) -> Iterator[Progress]:
        """Train the remaining epochs, then measure the best weights on the test set.

        Raises TrainingError if a loss is not finite or memory runs out.
        """
        with training_memory(self.settings, self.num_classes, len(self.train), self.device):
            training = self.settings.training
            while self.epoch < training.epochs:
                # Asked before the first epoch too: a run may resume after its last one. The processes differ in the time that an
                # epoch took, and only the first one has the history before a resume.
                ended = self.group.agree(early_end(training, self.history))
                if ended:
                    self._log(ended)
                    break
                yield from self._run_epoch()
            yield from self._run_test()

    def _run_epoch(self) -> Iterator[Progress]:
        started, epoch = time.perf_counter(), self.epoch + 1
        self.model.train()
        if self.settings.model.start_from:
            self.updater.freeze(epoch <= self.settings.training.frozen_epochs)
        order = epoch_order(self.labels, self.settings.data, self.generator).to(self.device, non_blocking=True)
        precise = torch.float64 if self.device.type != "mps" else torch.float32
        totals = torch.zeros(2, dtype=precise, device=self.device)  # loss, correct predictions
        # reading a loss makes a GPU wait, and processes for one another
        read_every = 1 if self.device.type == "cpu" and self.group.count == 1 else 20
        for step in range(self.steps):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            done = (self.epoch * self.steps + step + 1) / (self.settings.training.epochs * self.steps + 1)
            totals += torch.stack(self.updater.step(chosen, epoch, done)).to(totals.dtype)
            loss = None
            if step % read_every == 0 or step == self.steps - 1:
                loss = self.group.sum(totals)[0].item() / (step + 1) / self.group.count
                self._check_finite(loss, f"The training loss is not a finite number in epoch {epoch}, step {step + 1}.")
            speed = (step + 1) * self.learned / (time.perf_counter() - started)
            yield Progress("step", epoch, step + 1, self.steps, loss=loss, images_per_second=speed)
        seconds_training = time.perf_counter() - started
        self.group.average_statistics(self.model, self.evaluated)
        # in the precision of the training, which is faster; these figures only choose the best epoch
        evaluator = Evaluator(self.evaluated.eval(), self.mean, self.std, self.updater.autocast)
        evaluation = yield from self._evaluate(evaluator, self.validation, epoch)
        self._check_finite(evaluation.loss, f"The validation loss is not a finite number in epoch {epoch}.")
        self.epoch = epoch
        # the test set must not choose the weights
        if self.settings.watches_test or self._is_best(evaluation):
            self.best = Best(epoch=epoch, accuracy=evaluation.accuracy, loss=evaluation.loss, weights=self.weights())
        total_loss, total_correct = self.group.sum(totals).tolist()
        learned = self.steps * self.learned
        row: HistoryRow = {
            "epoch": epoch,
            "train_loss": total_loss / self.steps / self.group.count,
            "train_accuracy": total_correct / learned,
            "val_loss": evaluation.loss,
            "val_accuracy": evaluation.accuracy,
            "lr": float(self.updater.optimizers[0].param_groups[0]["lr"]),
            "seconds": time.perf_counter() - started,
            "images_per_second": learned / seconds_training,
            **evaluation.routing_metrics(self.settings.model.routed_blocks),
        }
        self.history.append(row)
        yield Progress("epoch", epoch, self.steps, self.steps, images_per_second=row["images_per_second"], metrics=row)

    def _is_best(self, found: Evaluation) -> bool:
        """Return whether an epoch is the best so far by accuracy and, among equal ones, by loss."""
        accuracy = self.best["accuracy"]
        if accuracy is None or found.accuracy != accuracy:
            return accuracy is None or found.accuracy > accuracy
        # older versions kept the first of equal epochs, and not its loss
        return found.loss < self.best.get("loss", -math.inf)

    def _check_finite(self, loss: float, fault: str) -> None:
        if not math.isfinite(loss):
            lower = f"Lower `training.lr`, for example to {self.settings.training.lr / 3:.2g}"
            others = ", set `training.gradient_clip`, or set `hardware.precision` to fp32."
            if self.dtype == torch.float32:
                others = ", or set `training.gradient_clip`."
            raise TrainingError(f"{fault} {lower}{others}", "nan")

    def _evaluate(self, evaluator: Evaluator, split: Split, epoch: int) -> Generator[Progress, None, Evaluation]:
        parts = self.group.deal(batches(split))
        for number, batch in enumerate(parts):
            yield Progress("evaluation", epoch, number, len(parts))
            with self.updater.kernels():
                evaluator.add(batch)
        if self.group.count > 1:
            evaluator.merge(self.group.collect)
        return evaluator.result()

    def _run_test(self) -> Iterator[Progress]:
        """Measure the best weights in float32, as `expertnet evaluate` and the routing lab do."""
        self.evaluated.load_state_dict(self.best["weights"])
        flips, views = self.updater.flips, self.settings.data.six_views
        evaluator = Evaluator(self.evaluated.eval(), self.mean, self.std, mirrored=flips, views=flips and views)
        evaluation = yield from self._evaluate(evaluator, self.test, self.epoch)
        result: TestResult = {
            "test_loss": evaluation.loss,
            "test_accuracy": evaluation.accuracy,
            "test_accuracy_mirrored": evaluation.accuracy_mirrored,
            "test_accuracy_views": evaluation.accuracy_views,
        }
        yield Progress("test", self.epoch, self.steps, self.steps, test=result)
