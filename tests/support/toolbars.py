"""What the toolbars of charts, images and tables cover, which appear while the pointer is on them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

_COVERED = """(toolbar) => {
  const main = document.querySelector("[data-testid=stMain]"), own = toolbar.parentElement, covered = []
  const { left, right, top, bottom } = toolbar.getBoundingClientRect()
  const under = (box) => box.left < right && box.right > left && box.top < bottom && box.bottom > top
  const texts = document.createTreeWalker(main, NodeFilter.SHOW_TEXT), range = document.createRange()
  while (texts.nextNode()) {
    range.selectNodeContents(texts.currentNode)
    if (!own.contains(texts.currentNode) && [...range.getClientRects()].some(under)) covered.push(texts.currentNode.data)
  }
  const roots = [main, ...[...main.querySelectorAll("*")].map((each) => each.shadowRoot).filter(Boolean)]
  for (const control of roots.flatMap((root) => [...root.querySelectorAll("a, button, input")]))
    if (!own.contains(control) && under(control.getBoundingClientRect())) covered.push(control.outerHTML)
  return covered
}"""


def covered(page: "Page", toolbars: int) -> list[str]:
    """Return what each toolbar covers, once all of so many are there."""
    from playwright.sync_api import expect

    shown, found = page.get_by_test_id("stMain").get_by_test_id("stElementToolbar"), list[str]()
    expect(shown).to_have_count(toolbars)
    for toolbar in shown.all():
        toolbar.locator("xpath=..").hover()
        expect(toolbar).to_have_css("opacity", "1")  # which takes longer than the way to its place
        found += toolbar.evaluate(_COVERED)
    return found
