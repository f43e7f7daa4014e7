"""A small line without axes, as an SVG that needs no script to draw."""

from collections.abc import Sequence

from expertnet.charts.base import BLUE

WIDTH, HEIGHT, MARGIN = 100, 20, 1  # of the view box
MOST = 40  # points


def sparkline(values: Sequence[float]) -> str:
    """Return the course of at least two values as an SVG, thinned to MOST points; fewer values give an empty one of the same size."""
    stride = max(-(-len(values) // MOST), 1)
    drawn = values[::-1][::stride][::-1]  # the last value is among them
    low, high = min(drawn, default=0.0), max(drawn, default=0.0)
    inner = HEIGHT - 2 * MARGIN
    points = [
        f"{place * WIDTH / (len(drawn) - 1):.1f},{MARGIN + inner * ((high - value) / (high - low) if high > low else 0.5):.1f}"
        for place, value in enumerate(drawn if len(drawn) > 1 else ())
    ]
    line = f'<polyline points="{" ".join(points)}" fill="none" stroke="{BLUE}" stroke-width="2" vector-effect="non-scaling-stroke"/>'
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" preserveAspectRatio="none"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{line}</svg>'
