"""ExpertNet Studio as it is served: `streamlit run serve.py`. app.py behind a gate, which matters where a login is asked for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware

from expertnet.jobs import manager
from expertnet.ui.gate import Gate


@asynccontextmanager
async def until_the_end(_: st.App) -> AsyncGenerator[None]:
    yield
    manager().close()  # here, since the server then ends itself by the signal that it got, past what atexit would do


app = st.App("app.py", lifespan=until_the_end, middleware=[Middleware(Gate)])
