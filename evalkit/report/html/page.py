"""Render templates as self-contained pages. The policy of a page allows only its own style and script."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from evalkit.core.safe_text import escape_unsafe

_FOLDER = Path(__file__).parent
_INDENTATION = re.compile(r"^[ ]+", re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/\n?", re.DOTALL)


def render_page(
    template: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    connects: bool = False,
    **view: Any,
) -> str:
    """Render a page from plain data, with a policy that allows its style and script by digest.

    Args:
        template: the name of a template in `templates/` that extends `base.html.j2`.
        styles: the names of style sheets next to this module that the page needs besides `page.css`.
        scripts: the names of scripts next to this module that the page needs besides `page.js`.
        connects: whether the script may connect to the server that the page came from.
        view: the values that the template shows. Text is escaped.
    """
    style = "".join(_COMMENT.sub("", _read(name)) for name in ("page.css", *styles))
    script = "".join(map(_read, ("page.js", *scripts)))
    policy = (
        f"default-src 'none'; style-src {_source_digest(style)}; "
        f"script-src {_source_digest(script)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    if connects:
        policy += "; connect-src 'self'"
    # The digests are those of the exact text, so do not escape it.
    assets = {"style": Markup(style), "script": Markup(script)}  # noqa: S704 - our own files
    return _environment().get_template(template).render(policy=policy, **assets, **view)


def add_crumb(page: str, links: Sequence[tuple[str, str]]) -> str:
    """Return a rendered page with a line of links at its top, as titles and addresses."""
    start = '<main id="main">'
    before, _, after = page.partition(start)
    return f"{before}{start}{render_macro('crumb', links)}{after}"


def render_macro(name: str, *arguments: Any, template: str = "macros.html.j2") -> Markup:
    """Render one macro of a template, for a part of a page."""
    macros = vars(_environment().get_template(template).module)
    markup: Markup = macros[name](*arguments)
    return markup


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_load_template),
        autoescape=True,
        # A misspelled name raises an error instead of rendering nothing.
        undefined=StrictUndefined,
        finalize=_show_unsafe,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["g"] = "{:g}".format
    environment.filters["pct"] = _format_percent
    return environment


def _format_percent(share: float) -> str:
    """Return a length in percent of a plot's width for a share from 0 to 1."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def _load_template(name: str) -> str:
    # Remove indentation, because a page would repeat it in thousands of rows.
    return _INDENTATION.sub("", _read(f"templates/{name}"))


def _show_unsafe(value: Any) -> Any:
    """Show invisible and reordering characters of data as escapes; Jinja2 then escapes markup."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return escape_unsafe(value, newlines=True)
    return value


@cache
def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _source_digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
