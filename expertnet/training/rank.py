"""One of the processes that train a run together (`hardware.processes`), as torch.distributed.run starts them.

Each runs `python -m expertnet.training.rank FOLDER PID PLACE PLACES CPUS`: the run's folder, the process that started torch's
launcher, and the run's place (`Place`). The first process writes the run's files, and the others only read.
"""

import os
import sys
import threading
import time
from pathlib import Path

from expertnet.data.datasets import load_dataset
from expertnet.errors import UserError
from expertnet.settings.schema import Settings
from expertnet.store.run import Run
from expertnet.training.parallel import Group, join, speak
from expertnet.training.place import Place
from expertnet.training.process import TICK, end_with
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from expertnet.training.trainer import Trainer
from expertnet.utils.devices import resolve_device
from expertnet.utils.processes import is_alive, process_facts, this_process

WHOLE = Place()


def join_launched(settings: Settings, place: Place = WHOLE) -> tuple[Group, Place]:
    """Join the processes that torch's launcher started, and return this one's share of the `place` on this computer."""
    mine = place.divided(int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]))
    return join(resolve_device(mine.chosen(settings).hardware.device)), mine


def lead(group: Group, run: Run, place: Place, starter: int) -> None:
    """Train a run as the first process, which ends if the one with the pid `starter` or torch's launcher does."""
    stop = Stop()
    if end_with(starter, stop) and end_with(os.getppid(), stop):
        run.write_status(
            run.written_status().changed(state="running", process=this_process().beating(), own_process=True)
        )
        run_training(run, stop, place=place, group=group, settle=False)


def follow(group: Group, run: Run, place: Place) -> None:
    """Train a run as another process, from the state that the first one saves. It ends as soon as the run is no longer in training."""
    launcher = process_facts(os.getppid())

    def watch() -> None:
        while is_alive(launcher) and run.status().active:
            time.sleep(TICK)
        os._exit(0)

    threading.Thread(target=watch, name="watch", daemon=True).start()
    speak(group)
    try:
        settings = place.chosen(run.settings())
        group.wait()
        share = settings.training.hardest_share
        data = load_dataset(settings.data, settings.seed, own=run.dataset_info(), learned_share=share)
        trainer = Trainer(settings, data, threads=place.threads, group=group)
        group.wait()
        state = run.checkpoints.load_resume()
        assert state is not None
        trainer.load_state_dict(state)
        for _ in trainer.run():
            pass
    except Exception as error:
        if not run.status().active:  # the first process has stopped or failed, and said why
            return
        if isinstance(error, UserError):
            run.log(f"Process {group.number + 1} of {group.count} failed: {error}")
        raise


def main(folder: str, starter: str, place: str, places: str, cpus: str) -> None:
    run, whole = Run(Path(folder)), Place(int(place), int(places), float(cpus) or None)
    group, mine = join_launched(run.settings(), whole)
    if group.number == 0:
        lead(group, run, mine, int(starter))
    else:
        follow(group, run, mine)


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # without waiting for the connections to the others, which may be gone
