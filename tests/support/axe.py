"""What axe-core finds on a page."""

from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect


def serious_findings(page: Page) -> list[str]:
    """Return the findings of impact serious or critical in light and in dark, which differ only in contrast."""
    return _findings(page, "light", {}) + _findings(page, "dark", {"runOnly": ["color-contrast"]})


def _findings(page: Page, scheme: Literal["light", "dark"], options: dict[str, Any]) -> list[str]:
    page.emulate_media(color_scheme=scheme)
    expect(page.get_by_test_id("stApp")).to_have_css("color-scheme", scheme)
    found = Axe().run(page, options=options | {"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{scheme}: {violation['id']}: {violation['help']}: {node['html']}: {node['failureSummary']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
