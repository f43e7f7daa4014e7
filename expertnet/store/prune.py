"""Delete the older versions of a dataset of yours, unless a run of the store still needs one."""

from functools import partial

from expertnet.data.own.space import delete_older_versions
from expertnet.data.own.versions import find_version, open_version
from expertnet.errors import RunError
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.trash import named_images


def delete_older(store: RunStore, dataset: str) -> int:
    """Delete the older versions of a dataset of yours (`delete_older_versions`), and return the bytes that this frees.

    Raises RunError if a run of the store still waits for one of them, DatasetError or OSError.
    """
    latest, queue = open_version(dataset), RunQueue(store.root)
    for run in (Run(store.root / run_id) for run_id in (*queue.ids(), *queue.training)):
        if run.has_settings and run.dataset_info() is None:
            found = find_version(run.settings().data.dataset)
            if found and found.dataset == dataset and found.number != latest.number:
                raise RunError(
                    f"Run {run.title} waits to be trained on {found.name}. Let it begin or remove it from the queue, then try again."
                )
    return delete_older_versions(dataset, partial(named_images, store))
