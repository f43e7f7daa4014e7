"""The event that ends a training early."""

import threading


class Stop(threading.Event):
    """Set when a user stops a training, or interrupted because its process must end."""

    interrupted = False

    def interrupt(self) -> None:
        self.interrupted = True
        self.set()

    @property
    def state(self) -> str:
        """The state of a run that this event ended."""
        return "interrupted" if self.interrupted else "stopped"
