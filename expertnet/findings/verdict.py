"""What routing does in a network, and whether the network relies on it, in the words of the findings."""

from expertnet.findings.classes import information
from expertnet.findings.effects import policies
from expertnet.findings.experts import entropies
from expertnet.routing.effects import Routings
from expertnet.routing.lab import Lab


def verdict(lab: Lab, measured: Routings | None = None) -> list[str]:
    """Return two sentences: the kinds of routing, and what is known about its use.

    The second one needs the accuracy of other policies, as `measure_routings` returns it. Without, it says what routing reveals
    about the class, which is not the same as relying on it.
    """
    return [entropies(lab).sentence, information(lab).sentence if measured is None else policies(measured).sentence]
