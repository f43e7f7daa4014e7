"""Tell a person that a training or a sweep has ended: by mail, chat or phone, with the optional package Apprise.

The environment variable EXPERTNET_NOTIFY has its addresses, which hold passwords and therefore are no setting of a run.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress

from expertnet.store.run import Run
from expertnet.store.status import Status, epochs_text
from expertnet.utils.home import install_command
from expertnet.utils.text import percent

VARIABLE = "EXPERTNET_NOTIFY"  # addresses, separated by spaces
TOLD = frozenset({"finished", "failed"})  # a person who stops a run knows that it ends


def send_notice(run: Run, status: Status) -> None:
    """Send a notice on a run that has ended, unless it is one of many. What goes wrong is in the run's log."""
    if status.state in TOLD and not run.trial:
        send(f"{run.title}: {status.state}", notice_text(status), run.log)


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
