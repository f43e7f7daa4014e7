"""CSS of all pages, and the middleware that sends it with the HTML page.

The browser loads what draws most elements, st.html among them, only when it needs it. Until then, the CSS keeps their room.
"""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_ROWS = 12  # of cards whose room is kept
# Pixels of elements, by what `room_key` makes of the beginning of a key. An element that is still loaded is 40 pixels high.
ROOM = {
    "labelled": 68,
    "figures": 60,
    "intervals": 87,
    "corrupted": 128,
    "large": 112,
    "film": 84,
    "measures": 60,
    "answer": 112,
    "verdict": 80,
    "verdict-of": 128,
    "actions": 40,
    "outcome": 82,
}
PHONE_ROOM = {  # of the rows that wrap in a narrow window
    "figures": 136,
    "intervals-3": 190,
    "corrupted": 272,
    "labelled-base": 236,
    "labelled-budget": 236,
    "labelled-range": 236,
    "labelled-controls": 228,
    "labelled-list": 152,
    "labelled-dots": 212,
    "actions": 96,
    "outcome": 138,
    "actions-of-a-run": 152,
    "verdict": 128,
}
CARD = 106  # pixels: height of a row of cards
# The theme's primary color is legible under white text, and so too dark as text on a dark background. In a row, what the browser
# still loads is about as wide as a button, or the others would move further. A long name of the run in training leaves room for Stop,
# and its line moves the page by less than 0.05 when it comes or goes.
# A toolbar appears above its element, over the text there. That of a chart moves to the free room below the plot, at the right, and
# that of an image into the image. One that is hidden takes no clicks from what is below it.
# An image that is still loading has the room of a square, as nearly all are but drawn lines, or what is below would move.
# A line above what is pinned to the bottom shows that the page goes on below it.
# Segments in a row are as high as the fields beside them, so that their labels are in line.
# What is one column on a phone, with an image, its weights, the choice of another image and its entropies, is a grid in a wide window.
# Its parts are placed by their keys, because a container does not exist before it has contents. So are the parts of an answer on
# Predict, whose actions are below the image on a phone, and beside it in a wide window.
LOOKS = """
button[data-variant='segmented_control'][data-selected][aria-checked='true']:not([data-disabled]) {color: inherit; font-weight: 600}
div[data-testid='stSliderThumbValue'], div[data-testid='stTab'][aria-selected='true'] {color: inherit}
.stHorizontalBlock > .stElementContainer button[data-variant='segmented_control'] {min-height: 2.5rem}
.st-key-announcer {display: none}
div.st-key-in-training {flex: 0 1 auto; min-width: 0}
div.st-key-training-strip {margin-bottom: -0.75rem}
div[data-testid='stSkeleton'] {min-width: 7rem}
div[data-testid='stBottom'] {border-top: 1px solid light-dark(#d8dcdc, #343c40)}
div[data-testid='stHeading']:has(h2) {min-height: 2.5rem; display: flex; align-items: center}
:is(.stPageLink, .stButtonGroup, .stCheckbox, .stProgress) {
  min-height: 2.5rem; display: flex; flex-direction: column; justify-content: center
}
button[data-testid='stExpandSidebarButton'] {width: auto; padding-inline: 0.5rem}
button[data-testid='stExpandSidebarButton']::after {content: 'Menu'}
div[data-testid='stFullScreenFrame']:has(.stVegaLiteChart) div[data-testid='stElementToolbar'] {top: auto; bottom: -1rem}
div[data-testid='stFullScreenFrame']:not(:hover) div[data-testid='stElementToolbar'] {pointer-events: none}
div[data-testid='stFullScreenFrame']:has(.stImage) div[data-testid='stElementToolbar'] {top: -0.5rem}
div[data-testid='stImage'] img:not([src^='data:']) {aspect-ratio: auto 1}
div.st-key-answer-parts {
  display: grid; gap: 0.25rem 2rem; grid-template: 'image answer' auto 'image actions' auto / auto 1fr;
  align-content: center; align-items: center
}
div.st-key-answer-parts > :has(> .st-key-room-answer-image) {grid-area: image}
div.st-key-answer-parts > :has(> .st-key-answer-text) {grid-area: answer}
div.st-key-answer-parts > :has(> .st-key-answer-actions) {grid-area: actions}
div.st-key-answer-actions {min-height: 40px}
@media (min-width: 641px) {
  div.st-key-one-image {
    display: grid; column-gap: 2rem;
    grid-template: 'answer weights entropy' minmax(112px, auto) 'choice weights entropy' 1fr
      / minmax(0, 4fr) minmax(0, 5fr) minmax(0, 5fr)
  }
  div.st-key-one-image > :has(> .st-key-image-answer) {grid-area: answer}
  div.st-key-one-image > :has(> .st-key-image-weights) {grid-area: weights}
  div.st-key-one-image > :has(> .st-key-image-choice) {grid-area: choice}
  div.st-key-one-image > :has(> .st-key-image-entropy) {grid-area: entropy}
  div.st-key-one-image [class*='st-key-room-film'] {min-height: 183px}
}
"""
# Columns and figures that are below one another here are as far apart as other elements.
# What stays in view above the sliders of the lab has the background of the theme
PHONE_LOOKS = """
.stHorizontalBlock:has(> .stColumn, > .stElementContainer > .stMetric) {row-gap: 1rem}
div.st-key-answer-parts {column-gap: 1rem; grid-template-areas: 'image answer' 'actions actions'}
:has(> .st-key-answer-now) {position: sticky; top: 3.75rem; z-index: 1; background: light-dark(#fcfcfa, #14191c)}
"""


def room_key(key: str) -> str:
    """Return the key of a container whose room is kept. Its prefix keeps the CSS from widgets with a key such as "answer"."""
    return f"room {key}"


def cards_key(wide: int, narrow: int, key: str) -> str:
    """Return the key of a container of cards, whose room is kept: its rows in a wide window, and on a phone."""
    return f"rows {wide} phone {narrow} {key}"


def css() -> str:
    """Return the CSS of all pages."""
    room, phone = (
        [f"[class*='st-key-room-{key}'] {{min-height: {pixels}px}}" for key, pixels in of.items()]
        for of in (ROOM, PHONE_ROOM)
    )
    rows = range(1, MOST_ROWS + 1)
    wide = [f"[class*='st-key-rows-{count}-'] {{min-height: {CARD * count}px}}" for count in rows]
    narrow = [f"[class*='st-key-rows-'][class*='-phone-{count}-'] {{min-height: {CARD * count}px}}" for count in rows]
    return "\n".join([LOOKS, *room, *wide, "@media (max-width: 640px) {", PHONE_LOOKS, *phone, *narrow, "}"])


class Styled:
    """Put the CSS into the head of the HTML page, but not into reports and other files that are saved."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["method"] != "GET"
            or "text/html" not in Headers(scope=scope).get("accept", "")
        ):
            return await self.app(scope, receive, send)
        start: Message | None = None
        body = b""

        async def send_styled(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                given = Headers(raw=message["headers"])
                if given.get("content-type", "").startswith("text/html") and "content-disposition" not in given:
                    start = message
                    return
            elif start is not None:
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                body = body.replace(b"</head>", f"<style>{css()}</style></head>".encode(), 1)
                headers = MutableHeaders(raw=start["headers"])
                headers["content-length"] = str(len(body))
                del headers["etag"], headers["last-modified"]  # those of the page without the CSS
                await send(start)
                message = {"type": "http.response.body", "body": body}
            await send(message)

        # The page as a whole, and not compressed
        headers = [
            (name, value) for name, value in scope["headers"] if not re.match(rb"if-|range|accept-encoding", name)
        ]
        return await self.app({**scope, "headers": headers}, receive, send_styled)
