"""Show images with captions, in groups side by side, as one piece of HTML: a thousand widgets would take seconds."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

import streamlit as st
from torch import Tensor

from expertnet.data.data_url import to_data_url

STYLE = """<style>
.gallery {display: flex; flex-wrap: wrap; gap: 0.6rem}
.gallery figure {width: 92px; margin: 0}
.gallery img {width: 92px; height: 92px; image-rendering: pixelated; border-radius: 4px; display: block}
.gallery .none {width: 92px; height: 92px; border: 1px dashed; border-radius: 4px; opacity: 0.5}
.gallery figcaption {font-size: 0.75rem; line-height: 1.3; overflow: hidden; text-overflow: ellipsis; white-space: nowrap}
.gallery section {max-width: 100%; box-sizing: border-box; padding: 0.5rem; border: 1px solid rgba(128, 128, 128, 0.4);
  border-radius: 8px}
.gallery section > div {display: flex; flex-wrap: wrap; gap: 0.5rem}
.gallery section > p {margin: 0 0 0.4rem; font-size: 0.8rem; font-weight: 600}
</style>"""


class Tile(NamedTuple):
    """An image (3, S, S) uint8, or None if it cannot be decoded, with lines below it. The first names it."""

    image: Tensor | None
    lines: Sequence[str]


def gallery(groups: Iterable[tuple[str, Sequence[Tile]]]) -> None:
    """Draw groups of images, each in a frame with a heading; those of a group without a heading have no frame."""
    parts = [_group(heading, tiles) for heading, tiles in groups]
    st.html(f'{STYLE}<div class="gallery">{"".join(parts)}</div>')


def _group(heading: str, tiles: Sequence[Tile]) -> str:
    figures = "".join(map(_figure, tiles))
    return f"<section><p>{escape(heading)}</p><div>{figures}</div></section>" if heading else figures


def _figure(tile: Tile) -> str:
    name = escape(tile.lines[0])
    image = '<div class="none"></div>' if tile.image is None else f'<img src="{to_data_url(tile.image)}" alt="{name}">'
    text = "".join(f'<figcaption title="{escape(line)}">{escape(line)}</figcaption>' for line in tile.lines)
    return f"<figure>{image}{text}</figure>"
