"""The folder that holds the runs."""

import os
import re
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from expertnet.data.info import DatasetInfo
from expertnet.data.own.copies import keep_copy
from expertnet.data.sources import pinned
from expertnet.errors import RunError
from expertnet.settings.schema import Settings
from expertnet.store.checks import has_network
from expertnet.store.notes import MAX_NAME, Notes, check_limits, one_line, write_notes
from expertnet.store.run import Run, now
from expertnet.store.start_weights import FILE, copy_start, refuse_misfit
from expertnet.store.status import Status
from expertnet.utils.home import HOME, INSTALLED
from expertnet.utils.processes import this_process

RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")


def fresh_id() -> str:
    """Return an id that sorts by the moment it was made, to within 16 microseconds."""
    moment = datetime.now(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond * 0x10000 // 1_000_000:04x}"


class RunStore:
    """The runs in a folder: `root`, or else EXPERTNET_RUNS, or else runs/ in the checkout.

    An installed copy uses runs/ in the current folder instead, and also finds the examples in its package, which is never
    written to.
    """

    def __init__(self, root: Path | str | None = None, folders: tuple[Path, ...] = ()) -> None:
        named = root or os.environ.get("EXPERTNET_RUNS")
        self.root = Path(named or (Path.cwd() if INSTALLED else HOME) / "runs")
        self.folders = folders or ((self.root, HOME / "runs") if INSTALLED and not named else (self.root,))

    def paths(self) -> dict[str, str]:
        """Return the folder of each run by its id, newest first, damaged ones included."""
        found: dict[str, str] = {}
        for folder in reversed(self.folders):  # own runs replace examples
            with suppress(OSError), os.scandir(folder) as entries:
                found |= {
                    entry.name: entry.path for entry in entries if RUN_ID.fullmatch(entry.name) and entry.is_dir()
                }
        return dict(sorted(found.items(), reverse=True))

    def list(self) -> list[Run]:
        """Return all runs, newest first, damaged ones included."""
        return [Run(Path(path)) for path in self.paths().values()]

    def get(self, run_id: str) -> Run:
        """Return the run with an id. Raises RunError if there is none."""
        for folder in self.folders:
            if RUN_ID.fullmatch(run_id) and (folder / run_id).is_dir():
                return Run(folder / run_id)
        raise RunError(f"There is no run {run_id[:80]!r} in {self.root}. To list all runs, use 'expertnet runs'.")

    def resolve(self, text: str, trained: bool = False) -> Run:
        """Return a run by its id, a unique prefix of it, or "latest". Raises RunError.

        With `trained`, "latest" is the newest run with a trained network, if there is one.
        """
        if RUN_ID.fullmatch(text):
            return self.get(text)
        runs = self.list()
        if text == "latest":
            if not runs:
                raise RunError(f"There is no run in {self.root} yet. To train one, use 'expertnet train'.")
            return next((run for run in runs if trained and has_network(run)), runs[0])
        found = [run for run in runs if text and run.id.startswith(text)]
        if len(found) > 1:
            raise RunError(f"{len(found)} runs have an id that starts with {text!r}. Enter more of the id.")
        return found[0] if found else self.get(text)

    def start_source(self, settings: Settings) -> Run | None:
        """Return the run that `model.start_from` names, None if it names none. Raises RunError if it is gone or does not fit."""
        if not settings.model.start_from:
            return None
        try:
            source = self.resolve(settings.model.start_from, trained=True)
        except RunError as error:
            raise RunError(f"`model.start_from` cannot be used. {error}") from None
        refuse_misfit(source, settings)
        return source

    def pinned(self, settings: Settings) -> tuple[Settings, Run | None]:
        """Return settings that name the version or absolute path of their dataset and the ID of the run to start from, and that run.

        Raises RunError as `start_source` does.
        """
        source = self.start_source(settings)
        model = settings.model.model_copy(update={"start_from": source.id}) if source else settings.model
        return settings.model_copy(update={"data": pinned(settings.data), "model": model}), source

    def create(
        self,
        settings: Settings,
        preset: str = "",
        name: str = "",
        own: DatasetInfo | None = None,
        run_id: str | None = None,
        start: Path | None = None,
        tags: tuple[str, ...] = (),
        trial: bool | str = False,
    ) -> Run:
        """Create a run in state "queued", which names its dataset as `pinned` does. Raises RunError if the name is too long, and as
        `start_source` does.

        `own` describes the images that it trains on, even if its dataset has changed since. A `run_id` is written down
        elsewhere first, so that a kill leaves no run that nobody knows; what it, or a power cut, leaves of the run is written
        again. `start` is a file of weights to start from, for settings that are pinned already. A `trial` is one of many runs: True
        if whoever trains them tells when all have ended, or the id of the run whose controls they are.
        """
        check_limits(Notes(name, tags))
        settings, source = (settings, None) if start else self.pinned(settings)
        self.root.mkdir(parents=True, exist_ok=True)
        run = Run(self.root / (run_id or fresh_id()))
        try:
            run.path.mkdir(exist_ok=run_id is not None)
        except FileExistsError:
            return self.create(settings, preset, name, own, start=start, tags=tags, trial=trial)  # with another id
        if start:
            shutil.copyfile(start, run.path / FILE)
        elif source:
            copy_start(source, run.path)
        config = {
            "name": one_line(name, MAX_NAME),
            "preset": preset,
            "created": now(),
            **settings.model_dump(mode="json"),
        }
        if trial:
            config["trial"] = trial
        if own:
            keep_copy(own.fingerprint, run.id)
        sync = run_id is None
        run.write_config(config | ({"dataset": own.to_dict()} if own else {}), sync)
        if tags:
            write_notes(run.path, Notes(tags=tags), sync)
        run.write_status(Status().changed(process=this_process().beating(), epochs=settings.training.epochs), sync)
        return run
