"""What routing does in a network, and whether the network relies on it, in the words of the findings."""

from expertnet.findings.classes import information
from expertnet.findings.effects import policies
from expertnet.findings.experts import entropies
from expertnet.routing.effects import Routings
from expertnet.routing.lab import Lab


def verdict(lab: Lab, measured: Routings | None = None) -> list[str]:
    """Return two sentences: what is known about the use of routing, and what the blocks do.

    The first one needs the accuracy of other policies, as `route_all` returns it. Without, it says what routing reveals
    about the class, which is not the same as relying on it.
    """
    return [information(lab).sentence if measured is None else policies(measured).sentence, entropies(lab).sentence]
