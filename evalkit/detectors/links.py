"""The links of a text, in Markdown, HTML, or plain, each with why it is unsafe to follow or to load."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Collection, Iterator
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

DEFAULT_SCHEMES = ("https", "http", "mailto", "tel")
"""Schemes of links that are safe."""

MAX_DATA_CHARS = 40
"""Characters of a part of an image's address above which it may carry data of the conversation."""

_MARKDOWN = re.compile(r"(!?)\[([^\]\n]{0,300})\]\(\s{0,4}<?([^)\s>]{1,8000})")
_REFERENCE = re.compile(r"^\s{0,3}\[([^\]\n]{1,100})\]:\s{0,4}<?([^\s>]{1,8000})", re.MULTILINE)
_IMAGE_REFERENCE = re.compile(r"!\[([^\]\n]{0,300})\](?:\[([^\]\n]{0,100})\])?(?!\()")
_HTML = re.compile(
    r"<([a-z]{1,12})\b[^>]{0,400}?\b(?:href|src|srcset|action|poster|data)\s{0,4}=\s{0,4}[\"']?([^\"'\s>]{1,8000})",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    r"(?<![\w@])(?:(?:https?|ftps?|file|smb|wss?|blob|filesystem|intent|view-source)://|javascript:(?=\S)|vbscript:(?=\S)|data:(?=[a-z]+/))[^\s<>\"'`\]]+",
    re.IGNORECASE,
)
_STYLE = re.compile(r"url\(\s{0,4}[\"']?([^\"')\s]{1,8000})", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,30}):", re.IGNORECASE)
_NUMERIC_HOST = re.compile(r"(?:0x[0-9a-f]+|\d+)(?:\.(?:0x[0-9a-f]+|\d+)){0,3}\.?", re.IGNORECASE)
_SHOWN_HOST = re.compile(
    r"(?:https?://)?((?:[\w-]{1,63}\.){1,6}[a-z]{2,24})(?:[/:?#].*)?", re.IGNORECASE
)
_INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}
_LOADED_TAGS = {
    "img",
    "source",
    "video",
    "audio",
    "iframe",
    "embed",
    "object",
    "script",
    "link",
    "image",
}

# Letters of Cyrillic and Greek that look like Latin ones (Unicode Technical Standard 39, confusables.txt).
_LOOK_ALIKES = str.maketrans(
    "авеёікмнорстухѕјԁԛԝһӏьүаαγεηικνορτυχωցոսզհօ",
    "abeeikmhopctyxsjdqwhlbyaayenikvoptuxwgnuqho",
)


class Link(NamedTuple):
    """An address in a text.

    Attributes:
        address: the address as it is written.
        shown: the text that a reader sees in its place; empty if it is the address.
        is_loaded: whether showing the text loads it, as an image.
    """

    address: str
    shown: str = ""
    is_loaded: bool = False


def find_links(text: str) -> list[Link]:
    """Return the links of a text, each address once, those that are loaded first."""
    links = sorted(_iter_links(text), key=lambda link: (not link.is_loaded, not link.shown))
    return list({link.address: link for link in reversed(links)}.values())[::-1]


def _iter_links(text: str) -> Iterator[Link]:
    for mark, shown, address in _MARKDOWN.findall(text):
        yield Link(address, shown, bool(mark))
    loaded = {(name or label).casefold() for label, name in _IMAGE_REFERENCE.findall(text)}
    for name, address in _REFERENCE.findall(text):
        yield Link(address, "", name.casefold() in loaded)
    for tag, address in _HTML.findall(text):
        yield Link(address, "", tag.lower() in _LOADED_TAGS)
    if "url(" in text:
        yield from (Link(address, "", is_loaded=True) for address in _STYLE.findall(text))
    for match in _PLAIN.finditer(text):
        yield Link(_trim(match[0]))


def _trim(address: str) -> str:
    """Return an address without the punctuation of the sentence that it ends."""
    trimmed = address.rstrip(".,;:!?*_")
    return trimmed.rstrip(").,;:!?*_") if "(" not in trimmed else trimmed


def find_danger(
    link: Link,
    allowed_hosts: Collection[str] = (),
    schemes: Collection[str] = DEFAULT_SCHEMES,
) -> str:
    """Return why a link is unsafe, or an empty text.

    With `allowed_hosts`, every other host is unsafe; a host includes its subdomains. Hosts that are
    allowed may be numbers.
    """
    address = f"https:{link.address}" if link.address.startswith("//") else link.address
    if any(unicodedata.category(each) in _INVISIBLE for each in address):
        return "it has invisible characters"
    scheme = _SCHEME.match(address)
    if scheme and scheme[1].lower() not in schemes and not _is_host_with_port(address):
        return f"its scheme is {scheme[1].lower()}"
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return "it is no valid address"
    if not host:
        return ""
    if "\\" in parts.netloc or parts.netloc.count("@") > 1:
        return "browsers and programs read its host differently"
    if "@" in parts.netloc:
        return f"it has a user name before its host {host}"
    if is_allowed_host(host, allowed_hosts):
        return ""
    return _find_danger_of_host(link, host, parts, bool(allowed_hosts))


def _find_danger_of_host(link: Link, host: str, parts: SplitResult, is_limited: bool) -> str:
    if _is_numeric(host):
        return f"its host {host} is an address of the Internet Protocol, not a name"
    if imitated := find_imitated_host(host):
        return f"its host {host} looks like {imitated}"
    if is_limited:
        return f"its host {host} is not in allow_hosts"
    if link.is_loaded and _carries_data(host, parts):
        return f"it is loaded when the text is shown, and sends data to {host}"
    shown = _SHOWN_HOST.fullmatch(link.shown.strip())
    if shown and not _is_same_site(shown[1].lower(), host):
        return f"its text shows {shown[1].lower()}, but it leads to {host}"
    return ""


def is_allowed_host(host: str, allowed: Collection[str]) -> bool:
    """Return whether a host is one of those allowed, or a subdomain.

    >>> [is_allowed_host(host, ["shop.com"]) for host in ("www.shop.com", "evilshop.com")]
    [True, False]
    """
    return any(
        host == each or host.endswith(f".{each}")
        for each in (name.lower().removeprefix("*.") for name in allowed)
    )


def find_imitated_host(host: str) -> str:
    """Return the host in Latin letters that a host in other letters looks like; empty if there is none.

    >>> find_imitated_host("xn--80ak6aa92e.com"), find_imitated_host("xn--mller-kva.de")
    ('apple.com', '')
    """
    labels = [_decode_label(label) for label in host.lower().split(".")]
    plain = [unicodedata.normalize("NFKC", label).translate(_LOOK_ALIKES) for label in labels]
    for label, look in zip(labels, plain, strict=True):
        if label != look and (look.isascii() or _mixes_scripts(label)):
            return ".".join(plain)
    return ""


def _decode_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label


def _mixes_scripts(label: str) -> bool:
    scripts = {unicodedata.name(each, "").partition(" ")[0] for each in label if each.isalpha()}
    return "LATIN" in scripts and bool(scripts & {"CYRILLIC", "GREEK", "ARMENIAN"})


def _is_host_with_port(address: str) -> bool:
    return bool(re.match(r"[\w.-]+:\d{1,5}(?:/|$)", address))


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(_NUMERIC_HOST.fullmatch(host))
    return True


def _carries_data(host: str, parts: SplitResult) -> bool:
    """Return whether an address has a query, or a part long enough for data of a conversation."""
    pieces = (*parts.path.split("/"), parts.fragment, *host.split("."))
    return bool(parts.query) or any(len(piece) > MAX_DATA_CHARS for piece in pieces)


def _is_same_site(one: str, other: str) -> bool:
    one, other = one.removeprefix("www."), other.removeprefix("www.")
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")
