"""The trainer on a GPU that is not there: no devices are mixed, and no step waits but those that read the loss."""

import pytest
import torch

from expertnet.data.datasets import Dataset
from expertnet.data.info import DatasetInfo
from expertnet.data.splits import Split
from expertnet.network.model import ExpertNet
from expertnet.settings.fields import build_settings
from expertnet.training.trainer import Trainer
from tests.support.gpu import CUDA, Waits, pretend, without_backward

BATCH, STEPS = 8, 5
SMALL = {
    "data.image_size": 16,
    "data.resolutions": (),
    "data.flip": "on",
    "training.batch_size": BATCH,
    "training.epochs": 1,
    "hardware.device": "cuda",
    "hardware.precision": "bf16",
    "hardware.compile": "off",
}
MIXED = {
    "data.cutout": 4,
    "data.mixup": 0.2,
    "data.cutmix": 0.2,
    "data.resolutions": (12, 16),
    "training.expert_dropout": 0.2,
    "training.optimizer": "sgd",
    "training.ema": 0.9,
    "training.temperature": 4.0,
    "training.gradient_clip": 1.0,
}

KERNELS = {"model.mixing": "kernels", "model.gates": "odconv", "model.router_output": "sigmoid"}
TOP_1 = {"model.top_k": 1, "model.balance": 0.01, "model.gates": "se", "model.router_input": "mean_deviation"}


def images(count):
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return Split(pixels, torch.arange(count) % 2)


@pytest.fixture
def data():
    half = (0.5, 0.5, 0.5)
    return Dataset(
        DatasetInfo("noise", ("a", "b"), half, half, 16, "x"), images(BATCH * STEPS + 1), images(20), images(30)
    )


FROZEN = {"model.start_from": "20261124-123318-dac5", "training.frozen_epochs": 1, "training.epochs": 2}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # to copy a network
@pytest.mark.parametrize(
    ("preset", "more"),
    [
        ("report", {"model.num_blocks": 2, "model.channels": 8}),
        ("report", {"model.num_blocks": 2, "model.channels": 8} | MIXED),
        (
            "report-tuned",
            {"model.num_blocks": 2, "model.pool_after": (1,), "model.widths": (4, 8), "model.residual": True},
        ),
        ("fast", {"model.widths": (24, 24, 30)}),
        ("report", {"model.num_blocks": 2, "model.channels": 8} | KERNELS),
        ("report", {"model.num_blocks": 2, "model.channels": 8} | TOP_1),
        ("quick", {"data.class_balance": "weights"}),
        ("quick", {"data.class_balance": "sampling"}),
        ("quick", FROZEN),
        ("quick", {"training.hardest_share": 0.5}),
    ],
    ids=["report", "mixed", "report-tuned", "fast", "kernels", "top 1", "weighted", "sampled", "frozen", "hardest"],
)
def test_an_epoch_mixes_no_devices_and_waits_only_to_read_the_loss(data, monkeypatch, preset, more):
    settings = build_settings(preset, "digits", SMALL | more)
    model = ExpertNet(settings.model, 2)
    monkeypatch.setattr("expertnet.training.trainer.resolve_device", lambda name: CUDA)
    with pretend(monkeypatch), Waits() as waits:
        start = model.state_dict() if settings.model.start_from else None
        trainer = Trainer(settings, data, network=lambda: model, start=start)
        without_backward(monkeypatch, lambda: trainer.model)
        waits.take()
        kinds = []
        for progress in trainer.run():
            found = waits.take()
            kinds.append(progress.kind)
            if progress.kind == "step":
                read = (progress.step - 1) % 20 == 0 or progress.step == STEPS
                assert (progress.loss is not None) == read
                assert len(found) == read, found
        assert kinds.count("step") == STEPS * settings.training.epochs and kinds[-1] == "test"
        assert all(value.device == CUDA for value in trainer.model.state_dict().values())
        state = trainer.state_dict()
        assert all(value.device.type == "cpu" for value in state["weights"].values())
        trainer.load_state_dict(state)
        states = [values for optimizer in trainer.updater.optimizers for values in optimizer.state.values()]
        assert states and all(value.device == CUDA for values in states for value in values.values())
