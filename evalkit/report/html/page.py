"""The shell of a page: one file with its style and script in it, and a policy that allows no other."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from evalkit.report.html.markup import Html, join, tag

HERE = Path(__file__).parent


@cache
def _asset(name: str) -> str:
    return (HERE / name).read_text()


def _hash_source(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def render_page(title: str, body: Html) -> str:
    """A whole document. Its policy lets only our own style and script in, by their digests."""
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src {_hash_source(style)}; script-src {_hash_source(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    head = join(
        [
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=policy),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("meta", name="referrer", content="no-referrer"),
            tag("title", title),
            Html(f"<style>{style}</style>"),
        ]
    )
    main = tag("body", body, Html(f"<script>{script}</script>"))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>{main}</html>\n'
