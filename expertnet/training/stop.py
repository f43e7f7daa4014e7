"""The event that ends a training early, and the request to end one in any process."""

import threading

from expertnet.errors import RunError
from expertnet.store.queue import RunQueue
from expertnet.store.run import Run
from expertnet.store.status import Status
from expertnet.store.trash import move_to_trash


class Stop(threading.Event):
    """Set when a user stops a training, or interrupted because its process must end."""

    interrupted = False
    _part: "Stop | None" = None

    def part(self) -> "Stop":
        """Return a Stop for one training of several. It is set with this one, but not this one with it."""
        self._part = Stop()
        if self.is_set():
            self.set()
        return self._part

    def set(self) -> None:
        super().set()
        if self._part is not None:
            self._part.interrupted = self.interrupted
            self._part.set()

    def interrupt(self) -> None:
        self.interrupted = True
        self.set()

    @property
    def state(self) -> str:
        """The state of a run that this event ended."""
        return "interrupted" if self.interrupted else "stopped"


def stop_run(run: Run, discard: bool = False) -> None:
    """Stop a run that trains or waits in any process on its store. With `discard`, it then moves to the trash.

    Raises RunError if it neither trains nor waits, nor is started again by Ray.
    """
    queue = RunQueue(run.path.parent)
    restarts = run.state == "interrupted" and run.id in queue.tasks.values()  # as soon as Ray has room
    if queue.remove(run.id) or restarts or (run.state == "queued" and not queue.holds(run.id)):
        run.leave_queue("stopped")
        if restarts:
            queue.done(run.id)
        if discard:
            move_to_trash(run)
    else:
        run.ask_to_stop(discard)


def leave_untrained(run: Run, stop: Stop) -> Status:
    """End a queued run that was stopped after it was taken but before it trained, and return its status."""
    asked = run.stop_asked()
    run.leave_queue("stopped" if asked else stop.state)
    run.forget_stop()
    status = run.written_status()
    if asked == "discard":
        try:
            move_to_trash(run)
        except RunError as error:  # the run stays where it is
            run.log(str(error))
    return status
