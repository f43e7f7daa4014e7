"""Serves the app as `streamlit run app.py` does, and loads at once what that would load when the first browser comes.

python -m expertnet.ui [OPTION of streamlit run ...]
"""

import sys
from pathlib import Path

from streamlit.web import cli

from expertnet.warmup import warm_up

if __name__ == "__main__":
    warm_up()
    cli.main(["run", str(Path(__file__).parents[2] / "app.py"), *sys.argv[1:]])
