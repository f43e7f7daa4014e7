"""Learn what a run's images look like to its network, in the background, so that the page can say which images are unlike them."""

from expertnet.inference.novelty import Novelty, cached_novelty, measurable, measure_novelty
from expertnet.inference.predictor import Predictor
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.ui.background import in_background, threads

UNASKED = 120.0  # seconds; what takes longer starts at a button


def novelty_of(run: Run, checkpoint: Checkpoint, predictor: Predictor) -> Novelty | None:
    """Return it from the run's folder, or measure it if the run's images are here; None until it is there."""
    found = cached_novelty(run, checkpoint)
    if found is not None or not measurable(run):
        return found
    measured: Novelty | None = in_background(
        ("novelty", run.id, checkpoint, predictor.epoch, predictor.info.fingerprint),
        "Learn which images are unlike the training images",
        lambda progress, cancelled: measure_novelty(run, checkpoint, progress, threads(), cancelled),
        UNASKED,
    )
    return measured
