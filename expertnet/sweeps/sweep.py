"""A sweep on disk: the folder sweeps/<id> of a store, with plan.json, status.json and Optuna's journal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from expertnet.data.datasets import dataset_title
from expertnet.errors import RunError
from expertnet.store.notes import Notes, check_limits
from expertnet.store.run import now
from expertnet.store.run_store import RUN_ID, RunStore, fresh_id
from expertnet.store.start_weights import FILE, copy_start
from expertnet.sweeps.plan import Plan
from expertnet.training.notice import send
from expertnet.utils.files import cached_on_file, file_lock, read_json, to_json, write_atomically
from expertnet.utils.processes import Process, is_alive
from expertnet.utils.text import counted

FOLDER = "sweeps"
ACTIVE = frozenset({"running", "stopping"})


class SweepStatus(BaseModel):
    """The contents of status.json. Whether a trial is alive, its run says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str = "running"  # or stopping, finished, stopped, failed
    owner: Process | None = None  # the command that trains the trials; None: any studio on the store
    reason: str = ""  # why it ended, in words
    since: int = 0  # trials before it was last resumed, whose failures no longer count


class Sweep:
    """A sweep in a store."""

    def __init__(self, path: Path) -> None:
        self.path, self.id = path, path.name
        self.store = RunStore(path.parent.parent)

    def plan(self) -> Plan:
        """Return what the sweep is to do. Raises RunError if the file is damaged."""
        try:
            return _plan(self.path / "plan.json")
        except (OSError, ValueError):
            raise RunError(
                f"The plan.json of sweep {self.id} is damaged or from another version. Its runs are intact."
            ) from None

    @property
    def has_plan(self) -> bool:
        try:
            return bool(self.plan())
        except RunError:
            return False

    @property
    def title(self) -> str:
        """The user's name for the sweep, or what it varies."""
        plan = self.plan()
        return (
            plan.name
            or f"{dataset_title(plan.settings.data.dataset)}: {', '.join(d.field.label.lower() for d in plan.space)}"
        )

    @property
    def start(self) -> Path | None:
        """The file of the weights that all trials start from; None if they start from random ones."""
        path = self.path / FILE
        return path if path.exists() else None

    def written_status(self) -> SweepStatus:
        try:
            return SweepStatus.model_validate(read_json(self.path / "status.json"))
        except (OSError, ValueError):
            return SweepStatus(state="stopped", reason="its status.json is damaged")

    def status(self) -> SweepStatus:
        """Return the current status. A sweep whose command has died is "interrupted"."""
        status = self.written_status()
        if status.state in ACTIVE and status.owner and not is_alive(status.owner):
            return status.model_copy(update={"state": "interrupted"})
        return status

    @property
    def active(self) -> bool:
        return self.status().state in ACTIVE

    def write_plan(self, plan: Plan) -> None:
        write_atomically(self.path / "plan.json", to_json(plan.model_dump(mode="json")).encode())

    def write_status(self, **values: object) -> None:
        status = self.written_status().model_copy(update=values)
        write_atomically(self.path / "status.json", to_json(status.model_dump()).encode())

    def end(self, state: str, reason: str) -> None:
        """Write how the sweep has ended, and send a notice. Raises OSError."""
        self.write_status(state=state, owner=None, reason=reason)
        title = self.title if self.has_plan else f"Sweep {self.id}"
        send(f"{title}: {state}", f"The sweep has ended: {reason}", partial(print, file=sys.stderr))

    def renew(self) -> None:
        """Renew the heartbeat of the owner if that is this process. Raises OSError."""
        with self.locked():
            owner = self.written_status().owner
            if owner and owner.is_this:
                self.write_status(owner=owner.beating())

    @contextmanager
    def locked(self, what: str = "sweep") -> Iterator[None]:
        """Keep other threads and processes from changing the sweep, or what follows it."""
        with file_lock(self.path / f"{what}.lock"):
            yield


@cached_on_file(maxsize=1024)  # every page asks for all of them
def _plan(path: Path) -> Plan:
    return Plan.model_validate(read_json(path))


def create_sweep(store: RunStore, plan: Plan, owner: Process | None = None) -> Sweep:
    """Write a new sweep, which keeps the version of its dataset and the weights that its trials start from.

    Raises SettingsError or RunError if the plan is invalid.
    """
    plan.checked()
    check_limits(Notes(plan.name))
    settings, source = store.pinned(plan.settings)  # "latest" must not become an earlier trial
    sweep = Sweep(store.root / FOLDER / fresh_id())
    sweep.path.mkdir(parents=True)
    if source:
        copy_start(source, sweep.path)
    sweep.write_plan(plan.model_copy(update={"name": plan.name.strip(), "created": now(), "settings": settings}))
    sweep.write_status(state="running", owner=owner, reason="")
    return sweep


def sweep_folders(store: RunStore) -> list[Path]:
    """Return the folders of the sweeps of a store, newest first."""
    with suppress(OSError):
        return sorted((path for path in (store.root / FOLDER).iterdir() if RUN_ID.fullmatch(path.name)), reverse=True)
    return []


def all_sweeps(store: RunStore) -> list[Sweep]:
    """Return the sweeps of a store, newest first, without damaged ones."""
    return [sweep for sweep in map(Sweep, sweep_folders(store)) if sweep.has_plan]


def find_sweep(store: RunStore, text: str) -> Sweep:
    """Return a sweep by its id, a unique prefix of it, or "latest". Raises RunError."""
    sweeps = all_sweeps(store)
    if text == "latest":
        if not sweeps:
            raise RunError(f"There is no sweep in {store.root} yet. To begin one, see 'expertnet sweep --help'.")
        return sweeps[0]
    found = [sweep for sweep in sweeps if text and sweep.id.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        raise RunError(f"{counted(len(found), 'sweep')} have an id that starts with {text!r}. Enter more of the id.")
    raise RunError(f"There is no sweep {text[:80]!r} in {store.root}. To list all sweeps, use 'expertnet sweep list'.")
