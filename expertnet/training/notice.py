"""Tell a person that a training, a sweep or the controls of a run have ended: by mail, chat or phone, with the optional package Apprise.

The environment variable EXPERTNET_NOTIFY has its addresses, which hold passwords and therefore are no setting of a run.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.status import Status, epochs_text
from expertnet.utils.home import install_command
from expertnet.utils.text import percent

VARIABLE = "EXPERTNET_NOTIFY"  # addresses, separated by spaces
TOLD = frozenset({"finished", "failed"})  # a person who stops a run knows that it ends


def send_notice(run: Run, status: Status) -> None:
    """Send a notice on a run that has ended, or on all controls if it is the last of them. What goes wrong is in the run's log."""
    if status.state not in TOLD:
        return
    if not run.trial:
        send(f"{run.title}: {status.state}", notice_text(status), run.log)
    elif run.control_of and not controls_train(run.path.parent, run.control_of, besides=run.id):
        send_controls_notice(Run(run.path.parent / run.control_of), run.log)


def controls_train(root: Path, run_id: str, besides: str = "") -> bool:
    """Return whether a control of a run waits or trains in the store at `root`, besides one of them."""
    queue = RunQueue(root)
    others = (Run(root / other) for other in {*queue.ids(), *queue.training} - {besides})
    return any(other.control_of == run_id and other.status().active for other in others)


def send_controls_notice(run: Run, log: Callable[[str], None]) -> None:
    """Send a notice that all controls of a run have ended."""
    send(f"{run.title}: controls ended", "The Experts page compares the run with its controls.", log)


def send(title: str, text: str, log: Callable[[str], None]) -> None:
    """Send a notice in a thread of its own, to nobody by default. `log` gets a sentence on what goes wrong."""
    addresses = os.environ.get(VARIABLE, "").split()
    if addresses:
        threading.Thread(target=_send, args=(title, text, log, addresses), name="notice").start()


def _send(title: str, text: str, log: Callable[[str], None], addresses: list[str]) -> None:
    fault = ""
    try:
        import apprise

        service = apprise.Apprise()
        added = [service.add(address) for address in addresses]
        if not all(added):
            fault = f"An address in {VARIABLE} is not one of Apprise."
        if len(service) and not service.notify(title=title, body=text):
            fault = f"A notice could not be sent to every address in {VARIABLE}."
    except ImportError:
        fault = f"{VARIABLE} needs the package Apprise, which is not installed. Run '{install_command('apprise')}'."
    except Exception as error:  # of one of a hundred services
        fault = f"The notice could not be sent ({type(error).__name__})."  # its text may have a password
    if fault:
        with suppress(OSError):  # the run may be in the trash
            log(fault)


def notice_text(status: Status) -> str:
    """Return what came of a run, as a sentence."""
    if status.state == "failed":
        return status.error or "Training failed."
    return f"Test accuracy {percent(status.test_accuracy, 2)}, epoch {epochs_text(status.state, status.epoch, status.epochs)}."
