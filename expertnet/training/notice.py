"""Tell a person that a training has ended: by mail, chat or phone, with the optional package Apprise.

The environment variable EXPERTNET_NOTIFY has its addresses, which hold passwords and therefore are no setting of a run.
"""

import os
import threading
from contextlib import suppress

from expertnet.store.run import Run
from expertnet.store.status import Status, epochs_text
from expertnet.utils.home import install_command
from expertnet.utils.text import percent

VARIABLE = "EXPERTNET_NOTIFY"  # addresses, separated by spaces
TOLD = frozenset({"finished", "failed"})  # a person who stops a run knows that it ends


def send_notice(run: Run, status: Status) -> None:
    """Send a notice on a run that has ended, in a thread of its own. What goes wrong is in the run's log."""
    addresses = os.environ.get(VARIABLE, "").split()
    if addresses and status.state in TOLD:
        threading.Thread(target=_send, args=(run, status, addresses), name="notice").start()


def _send(run: Run, status: Status, addresses: list[str]) -> None:
    fault = ""
    try:
        import apprise

        service = apprise.Apprise()
        added = [service.add(address) for address in addresses]
        if not all(added):
            fault = f"An address in {VARIABLE} is not one of Apprise."
        if len(service) and not service.notify(title=f"{run.title}: {status.state}", body=notice_text(status)):
            fault = f"A notice could not be sent to every address in {VARIABLE}."
    except ImportError:
        fault = f"{VARIABLE} needs the package Apprise, which is not installed. Run '{install_command('apprise')}'."
    except Exception as error:  # of one of a hundred services
        fault = f"The notice could not be sent ({type(error).__name__})."  # its text may have a password
    if fault:
        with suppress(OSError):  # the run may be in the trash
            run.log(fault)


def notice_text(status: Status) -> str:
    """Return what came of a run, as a sentence."""
    if status.state == "failed":
        return status.error or "Training failed."
    return f"Test accuracy {percent(status.test_accuracy, 2)}, epoch {epochs_text(status.state, status.epoch, status.epochs)}."
