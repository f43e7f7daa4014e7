"""Records the steps of a training as CUDA graphs, so that an NVIDIA GPU does not wait for Python between its kernels."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

WARM_UP = (
    3  # steps that are taken before one is recorded: they compile, choose kernels and allocate the optimizers' state
)

Results = tuple[Tensor, Tensor, Tensor]  # the mean loss, the number of correct answers, and the logits (N, classes)
Step = Callable[[Tensor, Tensor], Results]  # from images (N, 3, H, W) and labels (N,)


@dataclass(frozen=True)
class Recording:
    """A recorded step, and where it reads its batch and writes its results."""

    graph: torch.cuda.CUDAGraph
    images: Tensor
    labels: Tensor
    results: Results


class Recorder:
    """Takes training steps. The first ones are taken as they are, and the rest replay a recording, one for each size of images.

    What changes from step to step has to lie on the GPU: the batch, which is copied to where the recording reads it, and the
    learning rates. If recording fails, all steps are taken as they are.
    """

    def __init__(
        self, take: Step, optimizers: Sequence[torch.optim.Optimizer], device: torch.device, log: Callable[[str], None]
    ) -> None:
        self.take, self.optimizers, self.device, self.log = take, optimizers, device, log
        self.works, self.recording = True, False
        self.stream = torch.cuda.Stream(device)
        self.taken: Counter[torch.Size] = Counter()
        self.recordings: dict[torch.Size, Recording] = {}

    def __call__(self, images: Tensor, labels: Tensor) -> Results:
        """Take a step. The next one overwrites its results."""
        shape = images.shape
        if self.works and shape not in self.recordings and self.taken[shape] >= WARM_UP:
            self._record(images, labels)
        if shape not in self.recordings:
            self.taken[shape] += 1
            return self._aside(images, labels)
        recording = self.recordings[shape]
        recording.images.copy_(images)
        recording.labels.copy_(labels)
        recording.graph.replay()
        return recording.results

    def _aside(self, images: Tensor, labels: Tensor) -> Results:
        """Take a step in the stream that records, where the nodes of the backward pass have to be made."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            results = self.take(images, labels)
        current.wait_stream(self.stream)
        return results

    def forget(self) -> None:
        """Record all steps again, after a change of what they compute."""
        self.recordings.clear()
        self.taken.clear()

    def _record(self, images: Tensor, labels: Tensor) -> None:
        """Record a step without taking it."""
        graph, images, labels = torch.cuda.CUDAGraph(), images.clone(), labels.clone()
        self._mark(capturable=True)
        self.recording = True
        try:
            # other threads may use the GPU meanwhile
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                results = self.take(images, labels)
        except (
            Exception
        ) as error:  # CUDA and the compiler raise many types, and the steps can be taken without a recording
            self.works = False
            self._mark(capturable=False)
            self.log(f"Recording the training steps failed ({type(error).__name__}). Training continues without it.")
            return
        finally:
            self.recording = False
        self.recordings[images.shape] = Recording(graph, images, labels, results)

    def _mark(self, capturable: bool) -> None:
        """Allow or forbid torch's optimizers to be recorded."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                if "capturable" in group:
                    group["capturable"] = capturable
