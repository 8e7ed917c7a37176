"""Say in one line what the body of an error reply says: JSON of any server, a page, or plain text."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping

from evalkit.agents.error_body import read_error
from evalkit.agents.reply_text import NotJson, find_title, is_markup, read_json
from evalkit.core.literals import Json
from evalkit.core.safe_text import one_line

SHOWN_CHARS = 300
_TRANSIENT_STATUSES = (408, 425, 429, *range(500, 600))
_HEADING = re.compile(r"<h[1-3][^>]*>(.*?)</h[1-3]>", re.IGNORECASE | re.DOTALL)
_XML_MESSAGE = re.compile(
    r"<((?:\w+:)?(?:message|faultstring|reason|detail|description|text))(?:\s[^>]*)?>([^<]*\S[^<]*)</\1>",
    re.IGNORECASE,
)
_EVENT = re.compile(r"(?:data|event): ?\S")
_DATA = re.compile(r"^data: ?(\S.*)", re.MULTILINE)
_TAG = re.compile(r"<[^>]*>")


def say_error(body: str) -> str:
    """Return what the body of an error reply says, escaped and short; empty if it says nothing."""
    if is_markup(body):
        said = find_title(body) or _find_markup_message(body)
    else:
        first = next((line for line in body.splitlines() if line.strip()), "")
        # The error of a server that streams may be an event, also with the status of an error.
        events = _DATA.findall(body) if _EVENT.match(first) else []
        try:
            said = say_json_error(read_json(events[-1] if events else body))
        except NotJson:
            said = events[-1] if events else first
    return one_line(" ".join(said.split()), SHOWN_CHARS)


def _find_markup_message(body: str) -> str:
    """Return the first heading of a page, or the message of an error in XML; empty without either."""
    if heading := _HEADING.search(body):
        return html.unescape(_TAG.sub("", heading[1]))
    message = _XML_MESSAGE.search(body)
    return html.unescape(message[2]) if message else ""


def say_json_error(body: Json) -> str:
    """Return the message of an error in JSON; the JSON itself if no usual place has one."""
    # FastAPI has a list of what is wrong under `detail`.
    lists = (body.get(key) for key in ("detail", "errors")) if isinstance(body, Mapping) else ()
    for listed in lists:
        if isinstance(listed, list) and (found := "; ".join(_iter_messages(listed))):
            return found
    if message := read_error(body).message:
        return message
    return json.dumps(body, ensure_ascii=False) if body not in (None, "", {}, []) else ""


def is_transient_error(body: Json) -> bool:
    """Return whether an error in a reply of success is a failure that another attempt may avoid."""
    return read_error(body).status in _TRANSIENT_STATUSES


def _iter_messages(value: Json) -> Iterator[str]:
    """Yield the messages in a text, an object, or a list of them, with the field that each is about."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _iter_messages(each)
    elif isinstance(value, Mapping):
        texts = (value.get(key) for key in ("msg", "message", "detail", "title", "reason"))
        text = next((text for text in texts if isinstance(text, str)), "")
        place = value.get("loc", value.get("field", value.get("pointer")))
        path = ".".join(map(str, place)) if isinstance(place, list) else place
        if text:
            yield f"{path}: {text}" if isinstance(path, str) and path else text
