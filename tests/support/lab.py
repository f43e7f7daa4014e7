"""Small networks and routings for the tests of the routing lab."""

import errno

import torch
from safetensors.torch import save_file

from expertnet.data.augment import normalize
from expertnet.data.info import DatasetInfo
from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor
from expertnet.inference.routing_cache import Routed
from expertnet.network.model import ExpertNet
from expertnet.routing.effects import Images
from expertnet.routing.passes import estimated
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import ModelSettings
from expertnet.store.run_store import RunStore

ANIMALS = ("cat", "dog", "eel", "fox")
COLORS = DatasetInfo("colors", ("red", "blue"), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), 8, "x")


def routed(n=80, blocks=2, experts=3, seed=7):
    """A routing that depends on the class, with a fifth of the images misclassified."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    logits = (
        torch.randn(n, blocks, experts, generator=generator)
        + 3 * torch.randn(4, blocks, experts, generator=generator)[labels]
    )
    predictions = torch.where(torch.rand(n, generator=generator) < 0.2, (labels + 1) % 4, labels)
    return Routed(logits.softmax(2), labels, predictions)


def one_hot(experts_N, experts):
    """One block whose router sends each image to one expert alone: (N, 1, K)."""
    return torch.nn.functional.one_hot(experts_N, experts).float()[:, None]


def random_images(n, seed=4, size=8):
    return torch.randint(0, 256, (n, 3, size, size), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def random_split(n=40, size=8):
    return Split(random_images(n, size=size), torch.arange(n) % 2)


def measured_images(n=40, part="validation"):
    """Images to measure changes of the routing on, and 30 other ones as a sample of the training images."""
    return Images(part, random_split(n), Split(random_images(30, seed=5), torch.arange(30) % 2))


def model_settings(**overrides):
    return ModelSettings(**({"num_blocks": 3, "channels": 8, "reduction": 2, "pool_after": (1,)} | overrides))


def network(**overrides):
    """A network with random weights, whose experts differ and which predicts both classes about equally often."""
    torch.manual_seed(11)
    net = ExpertNet(model_settings(**overrides), 2)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        if isinstance(module, torch.nn.Linear):
            module.weight.data.mul_(8)
    with torch.inference_mode():
        logits = net.eval()(normalize(random_images(40), torch.tensor(COLORS.mean), torch.tensor(COLORS.std)))
        net.classifier.head.bias.data[1] += (logits[:, 0] - logits[:, 1]).median()
    return net


def predictor(**overrides):
    settings = build_settings("quick", "digits").model_copy(update={"model": model_settings(**overrides)})
    return Predictor(network(**overrides), settings, COLORS, 1)


@torch.no_grad()
def fitted(net):
    """A predictor with batch norms that fit random images, so that estimating them again on others changes little."""
    model = estimated(net, net.normalized(random_images(60, seed=6))).model
    logits = model(net.normalized(random_images(40)))
    model.classifier.head.bias[1] += (logits[:, 0] - logits[:, 1]).median()
    return Predictor(model, net.settings, net.info, 1)


def saved_run(folder, **model):
    """A finished run in a store at `folder` whose best checkpoint is network(**model)."""
    overrides = {f"model.{name}": value for name, value in model_settings(**model).model_dump().items()}
    overrides |= {"data.image_size": 8, "data.crop_padding": 1}
    run = RunStore(folder).create(build_settings("quick", "digits", overrides))
    run.write_config(run.config() | {"dataset": COLORS.to_dict()})
    save_best(run, 1, **model)
    run.write_status(run.status().changed(state="finished", epoch=1))
    return run


def save_best(run, epoch, **model):
    weights = {name: value.contiguous() for name, value in network(**model).state_dict().items()}
    save_file(weights, run.path / "best.safetensors", {"epoch": str(epoch)})


def read_only(path, write):
    """Stands for write_atomically on a file system that is read-only. Whoever runs the tests may write everywhere."""
    raise OSError(errno.EROFS, "Read-only file system", str(path))
