"""The seeds of trainings that are repeated with other random choices."""

from expertnet.settings.schema import LAST_SEED


def seeds_from(first: int, count: int) -> list[int]:
    """Return `count` seeds from the first on. The last possible one is followed by 0."""
    return [(first + number) % (LAST_SEED + 1) for number in range(count)]
