"""Pages that say why there is nothing else to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from evalkit.report.html.page import render_page


@dataclass(frozen=True, kw_only=True, slots=True)
class SitePage:
    """A page, and the status with which it is served."""

    html: str
    status: HTTPStatus = HTTPStatus.OK


def message_page(
    heading: str, lines: Sequence[str], home: str, status: HTTPStatus = HTTPStatus.OK
) -> SitePage:
    """Return a page that says why there is nothing else to show."""
    html = render_page(
        "message.html.j2",
        styles=("view.css",),
        title=heading,
        heading=heading,
        lines=lines,
        home=home,
    )
    return SitePage(html=html, status=status)


def error_page(message: str, home: str) -> SitePage:
    """Return a page with the message of an error, for example of a store that was deleted."""
    lines = [*message.splitlines(), "Load the page again when that is repaired."]
    return message_page("This cannot be shown", lines, home, HTTPStatus.SERVICE_UNAVAILABLE)
