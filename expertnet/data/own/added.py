"""What became of files that were added to a dataset of yours."""

from dataclasses import dataclass

from expertnet.data.own.versions import Version
from expertnet.utils.text import JOINERS, counted, printable

MOST_REJECTED = 1000  # files that are named in the log, and on the page


@dataclass(frozen=True)
class Outcome:
    """What to say about files that were added, without the version, whose images take much memory."""

    version: int
    sentence: str
    rejected: list[tuple[str, str]]  # the first ones


@dataclass(frozen=True)
class Added:
    """What became of files that were added."""

    version: Version
    added: int
    present: int  # images that their class had already
    rejected: list[tuple[str, str]]  # paths and reasons
    joined: dict[str, str]  # folders by name whose images went to a class that differs in case only
    restored: list[str]  # classes that were removed while their images arrived

    @property
    def summary(self) -> str:
        """Such as "120 images added. 3 were there already. 1 file could not be added."."""
        parts = [f"{counted(self.added, 'image')} added."]
        if self.present:
            parts.append(f"{counted(self.present, 'was', 'were')} there already.")
        parts += [f"“{name}” joined the class “{known}”." for name, known in self.joined.items()]
        parts += [
            f"The class “{name}” was removed in the meantime. It is back with these images." for name in self.restored
        ]
        if self.rejected:
            parts.append(f"{counted(len(self.rejected), 'file')} could not be added.")
        return printable(" ".join(parts), JOINERS)

    @property
    def sentence(self) -> str:
        """The summary, with the first file that could not be added and the reason."""
        if not self.rejected:
            return self.summary
        path, reason = self.rejected[0]
        first = " The first is" if len(self.rejected) > 1 else ""
        return printable(f"{self.summary}{first} {path[-100:]}: {reason}", JOINERS)

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.version.number, self.sentence, self.rejected[:MOST_REJECTED])
