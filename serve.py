"""ExpertNet Studio as it is served: `streamlit run serve.py`. app.py behind a gate, which matters where a login is asked for."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware

from expertnet.ui.auth.middleware import Gate
from expertnet.ui.preload import read_ahead, warm_up


@asynccontextmanager
async def until_the_end(_: st.App) -> AsyncGenerator[None]:
    await asyncio.to_thread(warm_up().join)  # so that whoever is answered does not wait for torch
    read_ahead()
    yield
    from expertnet.training.manager import manager

    manager().close()  # here, since the server then ends itself by the signal that it got, past what atexit would do


app = st.App("app.py", lifespan=until_the_end, middleware=[Middleware(Gate)])
