"""How a page shows a finding."""

import json

from streamlit.testing.v1 import AppTest


def test_only_the_columns_that_a_finding_names_are_percentages():
    def page():
        import pandas as pd

        from expertnet.findings.finding import Finding
        from expertnet.ui.finding import show

        table = pd.DataFrame({"low_90": [0.1], "difference": [0.1]})
        show(Finding("x", "table", "What it shows.", None, table, "How.", shares=("low_90",)))

    test = AppTest.from_function(page).run()
    columns = json.loads(test.dataframe[0].proto.columns)
    formats = {name: column.get("type_config", {}).get("format") for name, column in columns.items()}
    assert not test.exception and list(test.dataframe[0].value) == ["low 90", "difference"]
    assert [name for name, each in formats.items() if each == "percent"] == ["low 90"]
