"""Specifications for pages, whatever other threads do to Altair."""

import altair as alt
import pandas as pd

from expertnet.charts.base import specification


def test_a_specification_holds_its_tables_under_another_data_transformer():
    chart = alt.Chart(pd.DataFrame({"x": range(6000)})).mark_point().encode(x=alt.X("x:Q"))
    alt.data_transformers.register("elsewhere", lambda data: {"name": "elsewhere"})
    with alt.data_transformers.enable("elsewhere"):  # as st.altair_chart does for a moment, for all threads
        spec = specification(chart)
    assert [len(table) for table in spec["datasets"].values()] == [6000]
    assert spec["data"]["name"] in spec["datasets"]
