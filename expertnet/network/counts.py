"""Counts a network's parameters, its multiply-adds and what a training step keeps in memory, without building it."""

import torch

from expertnet.settings.schema import ModelSettings


class Counts:
    """The parameters of a network, and per image the multiply-adds and the bytes saved for the backward pass.

    `dtype` is that of the convolutions. What the forward pass saves is followed from step to step: a tensor that two steps save
    counts once.
    """

    def __init__(self, model: ModelSettings, image_size: int, num_classes: int, dtype: torch.dtype) -> None:
        self.model = model
        self.number = dtype.itemsize  # bytes per output of a convolution
        self.cast = self.number if dtype != torch.float32 else 0  # bytes per float32 number that is converted
        self.keeps_input = model.activation != "relu"  # ReLU saves its output, which the next step saves too
        self.parameters = self.multiply_adds = 0
        self.saved = self.number * 3 * image_size**2  # the image
        self.channels, self.size = model.stem_width, image_size
        self._stem()
        self.is_saved = True  # the input of the next step
        for block, width in enumerate(model.block_widths, 1):
            self._block(width, block in model.routed_blocks, block in model.pool_after)
        self._classifier(num_classes)

    @property
    def _map(self) -> int:
        """Bytes of the channels, as a convolution outputs them."""
        return self.number * self.size**2 * self.channels

    def _stem(self) -> None:
        if self.model.whitened_stem:
            self.size -= 1
            self.parameters += 13 * self.channels
            self.multiply_adds += 12 * self.channels * self.size**2
            self.saved += self._map * (1 + self.keeps_input)
        else:
            self.parameters += (27 + 2) * self.channels
            self.multiply_adds += 27 * self.channels * self.size**2
            self.saved += self._map * (2 + self.keeps_input)

    def _block(self, width: int, routed: bool, pools: bool) -> None:
        model, channels = self.model, self.channels
        experts = model.num_experts if routed else 1
        mixes_kernels = routed and model.mixing == "kernels"
        mixes_outputs = routed and model.mixing == "outputs"
        convs = 1 if mixes_kernels else experts  # computed
        if not self.is_saved:
            self.saved += self._map
        if routed and model.routing != "uniform":
            self._router(experts)
        if routed and model.gates == "odconv":
            self._two_layers(channels, channels + width + 9)
            self.saved += self.cast * (channels + width + 9)
            self.saved += self._map + self.number * width * (self.size**2 + 9 * channels)  # what the gates scale
        self.parameters += experts * width * 9 * channels + convs * width * 2
        self.multiply_adds += 9 * channels * width * (convs * self.size**2 + (experts if mixes_kernels else 0))
        if mixes_kernels:
            self.saved += self.number * 9 * channels * width  # the mixed kernel
        inside = pools and model.pool_before_norm
        if inside and model.residual:
            self.saved += 8 * (self.size // 2) ** 2 * channels  # the pooled input
        self.channels = width
        if inside:
            self._pool(convs)
        self.saved += convs * self._map * (1 + self.keeps_input)  # each norm's and activation's input
        self.is_saved = not mixes_outputs and not self.keeps_input
        if mixes_outputs or not self.keeps_input:
            self.saved += convs * self._map
        self.saved += experts * self.number if routed else 0  # weights
        if routed and model.gates == "se":
            self._two_layers(width, width)
            self.saved += self.cast * width + (0 if self.is_saved else self._map)
            self.is_saved = False
        self.is_saved = self.is_saved and not model.residual
        if pools and not inside:
            self.saved -= self._map if self.is_saved else 0
            self._pool()
            self.is_saved = False

    def _router(self, experts: int) -> None:
        deviation = self.model.router_input == "mean_deviation"
        self._two_layers((1 + deviation) * self.channels, experts, self.model.routing == "learned")
        if deviation:
            self.saved += 4 * self.channels * (2 + (self.size**2 if self.cast else 0))

    def _two_layers(self, inputs: int, outputs: int, learned: bool = True) -> None:
        """Count Linear -> ReLU -> Linear -> softmax or sigmoid, in float32."""
        hidden = max(self.channels // self.model.reduction, 1)
        self.parameters += (inputs + 1) * hidden + (hidden + 1) * outputs
        self.multiply_adds += (inputs + outputs) * hidden
        self.saved += 4 * (hidden + outputs + (inputs if learned else 0))

    def _pool(self, convs: int = 1) -> None:
        """Count 2x2 max pooling, which saves its input and the places of the maxima."""
        self.saved += convs * (self._map + 8 * (self.size // 2) ** 2 * self.channels)
        self.size //= 2

    def _classifier(self, num_classes: int) -> None:
        self.parameters += self.channels * num_classes + (num_classes if self.model.head == "mean" else 0)
        self.multiply_adds += self.channels * num_classes
        if self.model.head == "max" and not self.is_saved:
            self.saved += self._map
        self.saved += self.number * self.channels
