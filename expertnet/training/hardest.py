"""Chooses the images of a batch to learn from: those with the largest losses when the network last learned from them.

This is selective backpropagation with stale losses (Jiang 2019, arXiv:1910.00762). airbench96 (Jordan 2024, arXiv:2404.00498) lets a
smaller network choose instead, which has to be trained first.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from expertnet.training.parallel import Group


class Hardest:
    """The last loss of each training image (N,), infinite for those that were never learned from, so these come first.

    An image that is left out keeps its loss, and its turn comes when the losses of the others have fallen below it.
    """

    def __init__(self, share: float, images: int, device: torch.device, group: Group) -> None:
        self.share, self.group = share, group
        self.losses = torch.full((images,), torch.inf, device=device)

    def count(self, images: int) -> int:
        """Return how many images of a batch are chosen: as many for each process, and at least one."""
        return max(int(self.share * images) // self.group.count, 1) * self.group.count

    def choose(self, batch: Tensor) -> Tensor:
        """Return the indices of the hardest images among those of a batch, in its order, which does not depend on rounding."""
        return batch[self.losses[batch].topk(self.count(len(batch))).indices.sort().values]

    @torch.no_grad()
    def remember(self, chosen: Tensor, logits: Tensor, targets: Sequence[tuple[Tensor, float]]) -> None:
        """Keep the losses of the chosen images. `logits` and `targets` are of this process's part of them."""
        losses = torch.zeros(len(chosen), device=logits.device)
        mine = self.group.share(losses)
        for answers, share in targets:
            mine += F.cross_entropy(logits.float(), answers, reduction="none") * share
        self.losses[chosen] = self.group.sum(losses)
