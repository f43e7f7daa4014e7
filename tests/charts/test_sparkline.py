"""Sparklines, read back from their SVG."""

import re

from expertnet.charts.sparkline import HEIGHT, MARGIN, MOST, WIDTH, sparkline


def points(values):
    """Return the points of the line from left to right."""
    (found,) = re.findall(r'points="([^"]*)"', sparkline(values))
    return [tuple(map(float, point.split(","))) for point in found.split()]


def test_the_line_covers_the_whole_size_from_the_lowest_to_the_highest_value():
    assert points([3.0, 1.0, 2.0]) == [(0, MARGIN), (WIDTH / 2, HEIGHT - MARGIN), (WIDTH, HEIGHT / 2)]
    assert points([5.0, 5.0]) == [(0, HEIGHT / 2), (WIDTH, HEIGHT / 2)]


def test_many_values_are_thinned_and_end_with_the_last():
    drawn = points(list(range(1001)))
    assert MOST / 2 < len(drawn) <= MOST
    assert drawn[-1] == (WIDTH, MARGIN)


def test_without_two_values_there_is_a_frame_without_a_line():
    assert points([]) == points([1.0]) == []
