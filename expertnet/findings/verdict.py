"""What routing does in a network, and whether the network relies on it, in the words of the findings."""

from expertnet.findings.classes import information
from expertnet.findings.experts import entropies
from expertnet.findings.reliance import policies
from expertnet.routing.effects import Routings
from expertnet.routing.lab import Lab

UNKNOWN = "Whether routing matters for the answers has not been measured."


def headline(measured: Routings | None) -> str:
    """Return what is known about the use of routing in a few words, without the figures of `verdict`."""
    return UNKNOWN if measured is None else f"{policies(measured).sentence.partition(':')[0]}."


def verdict(lab: Lab, measured: Routings | None = None) -> list[str]:
    """Return sentences on what is known about the use of routing, and on what the blocks do.

    The use needs the accuracy of other policies, as `route_all` returns it. Without, the sentences say that it is not measured,
    and what routing reveals about the class, which is not the same as relying on it.
    """
    use = [UNKNOWN, information(lab).sentence] if measured is None else [policies(measured).sentence]
    return [*use, entropies(lab).sentence]
