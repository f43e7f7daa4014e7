"""ExpertNet Studio: `streamlit run app.py`. The pages are in pages/, everything else in expertnet/."""

from expertnet.ui import shell

shell.navigate()
