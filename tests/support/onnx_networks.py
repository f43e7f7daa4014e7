"""Small networks, converted to ONNX."""

import torch
from torch import nn

from expertnet.inference.predictor import Predictor
from expertnet.network.model import ExpertNet
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import ModelSettings
from expertnet.transfer import onnx_graph as graphs
from expertnet.transfer.onnx_check import drawn
from tests.support.lab import COLORS

SMALL = {"num_blocks": 2, "channels": 6, "reduction": 2, "pool_after": (1,)}


def predictor(**kind):
    """A network with random weights and norms."""
    torch.manual_seed(5)
    net = ExpertNet(ModelSettings(**SMALL | kind), 2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return Predictor(net.requires_grad_(False), build_settings("quick", "digits"), COLORS, 1)


def graph(net):
    return graphs.with_metadata(graphs.onnx_graph(net), graphs.metadata(net, "a run", "float32"))


def images(net, count=64):
    return drawn(count, net.image_size)
