"""What a chart holds."""


def drawn(chart):
    """Returns the rows of all tables of a layered chart, and its layers."""
    spec = chart.to_dict()
    return [row for rows in spec["datasets"].values() for row in rows], spec["layer"]
