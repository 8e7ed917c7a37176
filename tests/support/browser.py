"""Real headless Chromium for the tests of pages, and the check that every page must pass."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS = (1200, 768, 390)
THEMES = ("light", "dark")
SCREEN_HEIGHTS = {1200: 800, 768: 1024, 390: 844}

# What is wider than the screen, or than the scrolling region that it stands in.
_OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll("main *")]
    .filter(one => one.getBoundingClientRect().right > width + 0.5)
    .map(one => `${one.tagName}.${one.getAttribute("class")}: ${one.textContent.slice(0, 60)}`);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window. Playwright occupies the thread's event loop, so it ends with the module."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH to render the page in")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


@contextmanager
def open_page(browser: Any, url: str, width: int = 1200) -> Iterator[Any]:
    """Open a page; at the end, it must have reported no error and no violation of its policy."""
    page = browser.new_page(viewport={"width": width, "height": SCREEN_HEIGHTS[width]})
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        page.goto(url)
        yield page
        assert not [text for text in said if not text.startswith(("log:", "info:", "debug:"))]
    finally:
        page.close()


def check_page(browser: Any, url: str | Path, *, opens_folds: bool = True) -> None:
    """Open a page at three widths, light and dark, and check what holds for every page.

    It reports no error and no violation of its policy, nothing is wider than the screen, axe-core finds
    no serious fault, and each plot states its finding.

    Args:
        browser: the fixture of this module.
        url: the address of the page, or its file.
        opens_folds: whether everything folded is opened as well, after a check of the page as it opens.
    """
    with open_page(browser, url.as_uri() if isinstance(url, Path) else url) as page:
        for is_open in (False, True) if opens_folds else (False,):
            if is_open:
                page.evaluate(
                    "for (const one of document.querySelectorAll('details')) one.open = true"
                )
            check_widths(page)
        unnamed = (
            "[...document.querySelectorAll('svg[role=img]')].filter(one => !one.ariaLabel).length"
        )
        assert not page.evaluate(unnamed), "plots without a name"
        for width, theme in ((390, "dark"), (1200, "dark"), (1200, "light")):
            page.set_viewport_size({"width": width, "height": SCREEN_HEIGHTS[width]})
            page.emulate_media(color_scheme=theme)
            assert not find_faults(page), f"{width} pixels wide, {theme}"


def check_widths(page: Any) -> None:
    """Check that nothing is wider than the screen at any of three widths."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": SCREEN_HEIGHTS[width]})
        assert not page.evaluate(_OVERFLOW), f"wider than {width} pixels"


def find_faults(page: Any) -> list[str]:
    """Return the serious faults of accessibility that axe-core finds, with the elements that have them."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"][:5]
    ]
