"""Widgets that several views share. Their values are stored in the URL."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st


def pick_number(label: str, numbers: Sequence[int], default: int, key: str) -> int:
    """Ask for one of some numbers."""
    return int(st.segmented_control(label, numbers, default=default, key=key, bind="query-params", required=True))


def pick_block(blocks: list[int], key: str = "block") -> int:
    """Ask for a block, at first the last one. A network with one block leaves no choice."""
    if len(blocks) == 1:
        return blocks[0]
    return int(st.select_slider("Block", blocks, value=blocks[-1], key=key, bind="query-params"))
