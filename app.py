"""ExpertNet Studio. `streamlit run app.py`, `expertnet serve` and `make run` all start this server."""

import streamlit as st
from starlette.middleware import Middleware

from expertnet.ui import shell
from expertnet.ui.auth.middleware import Gate
from expertnet.ui.preload import lifespan
from expertnet.ui.style import Styled

app = st.App(shell.SCRIPT, lifespan=lifespan, middleware=[Middleware(Gate), Middleware(Styled)])
