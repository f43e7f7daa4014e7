"""The script that Streamlit runs at every visit and click. It is not next to pages/, or Streamlit would run pages without it."""

from expertnet.ui import shell

shell.navigate()
