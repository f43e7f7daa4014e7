"""Chooses the images of a batch to learn from: those with the largest losses when the network last learned from them.

This is selective backpropagation with stale losses (Jiang 2019, arXiv:1910.00762). airbench96 (Jordan 2024, arXiv:2404.00498) lets a
smaller network choose instead, which has to be trained first.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from expertnet.settings.schema import TrainingSettings
from expertnet.training.parallel import Group


class Hardest:
    """The last loss of each training image (N,), infinite for those that were never learned from, so these come first.

    An image that is left out keeps its loss, and its turn comes when the losses of the others have fallen below it.
    """

    def __init__(self, settings: TrainingSettings, images: int, device: torch.device, group: Group) -> None:
        self.settings, self.group = settings, group
        self.losses = torch.full((images,), torch.inf, device=device)

    def choose(self, batch: Tensor) -> Tensor:
        """Return the indices of the hardest images among those of a batch, in its order.

        In the order of the losses, rounding would change which image gets which augmentation.
        """
        count = self.settings.learned_images(len(batch), self.group.count)
        return batch[self.losses[batch].topk(count).indices.sort().values]

    @torch.no_grad()
    def remember(self, chosen: Tensor, logits: Tensor, targets: Sequence[tuple[Tensor, float]]) -> None:
        """Keep the losses of the chosen images. `logits` and `targets` are of this process's part of them."""
        losses = torch.zeros(len(chosen), device=logits.device)
        mine = self.group.share(losses)
        for answers, share in targets:
            mine += F.cross_entropy(logits.float(), answers, reduction="none") * share
        # of an image that was drawn twice, the larger one on every device
        self.losses.scatter_reduce_(0, chosen, self.group.sum(losses), "amax", include_self=False)
