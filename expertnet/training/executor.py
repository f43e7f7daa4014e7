"""What trains the runs of a store: the interface, behind which there may be one computer or many."""

from typing import Protocol

from expertnet.store.run import Run


class Executor(Protocol):
    """Trains the runs that are submitted, as many at once as there is room for. Any thread may call its methods.

    All that must survive the process is in the store: the queue, the status of each run, and requests to stop.
    """

    def submit(self, run: Run) -> None:
        """Queue a run in state "queued"."""

    def status(self, run: Run) -> str:
        """Say in a sentence where a run trains, or why it waits; "" if it does neither."""

    def stop(self, run: Run, discard: bool = False) -> None:
        """Stop a run that trains or waits in any process. With `discard`, it then moves to the trash. Raises RunError."""

    def ended(self, run: Run) -> str:
        """Say in a sentence why a run ended before its last epoch; "" if it did not."""

    def wake(self) -> None:
        """Look for work. An earlier process may have left some."""

    def join(self, run_id: str | None = None, timeout: float | None = None) -> bool:
        """Wait until this executor no longer queues or trains a run (by default: any). Returns False after a timeout."""

    def close(self) -> None:
        """Interrupt what trains here. Its last completed epochs are kept."""
