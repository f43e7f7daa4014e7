"""The CSS of the pages comes with the HTML page."""

import ast
import asyncio
import re

import pytest
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from expertnet.ui.style import Styled, cards_key, css
from tests.support.served import ROOT

PAGE = "<html><head><title>Studio</title></head><body></body></html>"


def answer(response, method="GET", accept="text/html,*/*", **headers):
    """Return the headers and the body with which the middleware passes on a response, and the headers of the request."""
    asked, sent = {}, []

    async def app(scope, receive, send):
        asked.update(Headers(scope=scope))
        await response(scope, receive, send)

    async def send(message):
        sent.append(message)

    async def receive():
        await asyncio.Event().wait()

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in ({"accept": accept} | headers).items()]
    scope = {"type": "http", "method": method, "headers": raw}
    asyncio.run(Styled(app)(scope, receive, send))
    return Headers(raw=sent[0]["headers"]), b"".join(each.get("body", b"") for each in sent[1:]).decode(), asked


@pytest.mark.parametrize("parts", [1, 2])
def test_the_html_page_has_the_css_in_its_head(parts):
    half = len(PAGE) // 2
    chunks = [PAGE] if parts == 1 else [PAGE[:half], PAGE[half:]]

    async def stream():
        for chunk in chunks:
            yield chunk

    response = StreamingResponse(stream(), media_type="text/html", headers={"etag": "x", "last-modified": "y"})
    headers, body, asked = answer(response, if_none_match="x", if_modified_since="y", accept_encoding="gzip")
    assert body == PAGE.replace("</head>", f"<style>{css()}</style></head>")
    assert int(headers["content-length"]) == len(body.encode())
    # or a browser would keep a page with another version's CSS
    assert not {"etag", "last-modified"} & {*headers} and [*asked] == ["accept"]


def test_other_answers_pass_unchanged():
    script = Response("export default '</head>'", media_type="text/javascript", headers={"etag": "x"})
    assert answer(script)[:2] == (script.headers, script.body.decode())
    saved = Response(PAGE, media_type="text/html", headers={"content-disposition": "attachment; filename=report.html"})
    assert answer(saved)[:2] == (saved.headers, PAGE)
    page = Response(PAGE, media_type="text/html")
    for options in ({"method": "HEAD"}, {"accept": "*/*"}):
        headers, body, asked = answer(page, if_none_match="x", **options)
        assert (headers, body, asked["if-none-match"]) == (page.headers, PAGE, "x")


def test_the_room_of_cards_is_kept_in_wide_and_narrow_windows():
    name = "st-key-" + cards_key(2, 3, "field 1 source").replace(" ", "-")
    wide, phone = css().split("@media (max-width: 640px)")
    for part, selector, pixels in ((wide, "[class*='st-key-rows-2-']", 212), (phone, "[class*='-phone-3-']", 318)):
        assert selector[9:-2] in name and f"{selector} {{min-height: {pixels}px}}" in part


def test_the_css_keeps_the_room_of_containers_only():
    """A key that a page writes itself, of a widget say, never begins like those that it takes from style.py."""
    kept = {*re.findall(r"\[class\*='(st-key-[a-z]+-)[^{]*{min-height", css())}
    assert kept == {"st-key-room-", "st-key-rows-"}
    files = [*(ROOT / "expertnet" / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")]
    strings = (
        node.value
        for file in files
        if file.name != "style.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    assert not [each for each in strings if f"st-key-{each.replace(' ', '-')}".startswith(tuple(kept))]
