"""Chooses the images of a batch to learn from: those with the largest losses when the network last learned from them.

This is selective backpropagation with stale losses (Jiang 2019, arXiv:1910.00762). airbench96 (Jordan 2024, arXiv:2404.00498) lets a
smaller network choose instead, which has to be trained first.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from expertnet.settings.schema import TrainingSettings
from expertnet.training.parallel import Group


class Hardest:
    """The last loss of each training image (N,), and in how many steps it was learned from (N,).

    At first, the losses are infinite, so new images come first. An image that is left out keeps its loss, and its turn comes when the
    losses of the others have fallen below it.
    """

    def __init__(self, settings: TrainingSettings, images: int, device: torch.device, group: Group) -> None:
        self.settings, self.group = settings, group
        self.losses = torch.full((images,), torch.inf, device=device)
        self.times = torch.zeros(images, dtype=torch.int64, device=device)

    def choose(self, batch: Tensor) -> Tensor:
        """Return the indices of the hardest images among those of a batch, in its order.

        In the order of the losses, rounding would change which image gets which augmentation.
        """
        count = self.settings.learned_images(len(batch), self.group.count)
        return batch[self.losses[batch].topk(count).indices.sort().values]

    @torch.no_grad()
    def remember(self, chosen: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Keep the losses of the chosen images. `logits` and `labels` are of this process's part of them."""
        self.times[chosen] += 1
        losses = torch.zeros(len(chosen), device=logits.device)
        self.group.share(losses).copy_(F.cross_entropy(logits.float(), labels, reduction="none"))
        # of an image that was drawn twice, the larger one on every device
        self.losses.scatter_reduce_(0, chosen, self.group.sum(losses), "amax", include_self=False)
