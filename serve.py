"""ExpertNet Studio as it is served: `streamlit run serve.py`. app.py behind a gate, which matters where a login is asked for."""

import streamlit as st
from starlette.middleware import Middleware

from expertnet.ui.gate import Gate

app = st.App("app.py", middleware=[Middleware(Gate)])
