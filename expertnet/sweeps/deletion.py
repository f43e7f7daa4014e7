"""Delete a sweep. Only its folder goes: its runs are ordinary runs, and others may read its study in a database."""

import shutil

from expertnet.errors import RunError
from expertnet.sweeps.sweep import ACTIVE, Sweep


def delete_sweep(sweep: Sweep) -> None:
    """Delete the folder of a sweep permanently. Raises RunError if the sweep is active, or OSError."""
    with sweep.locked():
        state = sweep.status().state
        if state in ACTIVE:
            raise RunError(f"Sweep {sweep.title} is {state}. Stop it before you delete it.")
        if sweep.path.is_symlink():  # only the link goes
            sweep.path.unlink()
            return
        for path in (
            sweep.path.iterdir()
        ):  # the plan last, so that a sweep that could not be deleted is listed and can be again
            if path.is_file() and path.name != "plan.json" and path.suffix != ".lock":
                path.unlink()
        (sweep.path / "plan.json").unlink(missing_ok=True)  # without it, nobody can resume the sweep from here on
    shutil.rmtree(sweep.path)  # unlocked, because some systems cannot delete an open file


def study_stays(sweep: Sweep) -> str:
    """Say where the study of a sweep stays when the sweep is deleted; "" if it is in the sweep's folder."""
    database = sweep.plan().database
    return f"Its study {sweep.id} stays in the database {database}." if database else ""
