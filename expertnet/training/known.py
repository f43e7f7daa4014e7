"""The run that did a training, or began it, so that no training is done twice, whoever started it."""

from collections.abc import Collection

from expertnet.data.info import DatasetInfo, is_own
from expertnet.store.checks import resume_fault
from expertnet.store.index import rows_of, run_rows
from expertnet.store.rows import RunRow
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.start import prepare_resume


def best_rows(
    original: Run | None, keys: Collection[str], info: DatasetInfo | None, store: RunStore
) -> dict[str, RunRow]:
    """Return the run of each settings_key: one that has finished, else one that trains or waits, else one that was cut off.

    It has the images that `info` describes, if these are known. The original run comes before others, and those of the store
    before the controls in its folder.
    """
    found: dict[str, RunRow] = {}
    included = [row for row in rows_of(original.controls() if original else ()) if row.key in keys]

    def rank(row: RunRow) -> tuple[bool, bool, bool]:
        done = row.state == "finished" and row.test is not None
        return original is None or row.id != original.id, not done, not row.active

    for row in sorted([*run_rows(store, key=keys), *included], key=rank):  # the newest of equal ones first
        if row.key not in found and _has_images(row.run, info):
            found[row.key] = row
    return found


def _has_images(run: Run, info: DatasetInfo | None) -> bool:
    own = run.dataset_info()
    return info is None or (own is not None and is_own(info, own))


def resumed(row: RunRow | None) -> Run | None:
    """Mark the run of a row as queued again, and return it; None if there is none that can resume."""
    if row is None or resume_fault(row.run) is not None:
        return None
    prepare_resume(row.run)
    return row.run
