"""ExpertNet Studio as it is served: `streamlit run serve.py`. app.py behind a gate, which matters where a login is asked for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware

from expertnet.ui.gate import Gate
from expertnet.warmup import warm_up


@asynccontextmanager
async def until_the_end(_: st.App) -> AsyncGenerator[None]:
    warm_up()  # before the first browser comes
    yield
    from expertnet.jobs import manager  # with torch, for which nobody is to wait before the server answers

    manager().close()  # here, since the server then ends itself by the signal that it got, past what atexit would do


app = st.App("app.py", lifespan=until_the_end, middleware=[Middleware(Gate)])
