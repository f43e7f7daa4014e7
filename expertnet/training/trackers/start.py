"""Start the process that sends a run to its trackers, and refuse settings whose package is missing."""

import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from expertnet.errors import SettingsError
from expertnet.settings.schema import Settings
from expertnet.store.run import Run
from expertnet.training.trackers.record import TITLES
from expertnet.utils.files import os_error_sentence
from expertnet.utils.home import install_command

PACKAGES = ("tensorboard", *TITLES)  # named like the settings that need them


def require_trackers(settings: Settings) -> None:
    """Raise SettingsError if the setting of a tracker is on and its package is missing."""
    for package in PACKAGES:
        if getattr(settings.training, package) and not _is_installed(package):
            raise SettingsError(
                f"`training.{package}` needs the package {package}, which is not installed. "
                f"Run '{install_command(package)}', or turn the setting off."
            )


def _is_installed(package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and spec.origin is not None  # a folder of that name, which trackers leave, has no origin


def start_trackers(run: Run, settings: Settings) -> None:
    """Start the process that sends a run to its trackers. It follows the run's files, so nothing it does can delay the training."""
    names = [name for name in TITLES if getattr(settings.training, name)]
    if not names:
        return
    # The working directory stays, because an address such as sqlite:///runs.db counts from it
    paths = [str(Path(__file__).parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "expertnet.training.trackers.follow", str(run.path.resolve()), *names],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it sends the end of a run that Ctrl-C stops
        )
    except OSError as error:
        run.log(f"The run is not sent to {' and '.join(map(TITLES.__getitem__, names))}: {os_error_sentence(error)}")
    else:
        threading.Thread(target=process.wait, name=f"trackers of {run.id}", daemon=True).start()
