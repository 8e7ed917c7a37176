"""Find which fields of a request an endpoint refuses, and give the length limit its newer name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from evalkit.agents.error_body import ErrorBody
from evalkit.core.literals import Json

LENGTH_KEY = "max_tokens"
NEWER_LENGTH_KEY = "max_completion_tokens"
"""The name of the same limit for reasoning models."""

# "does not support parameters: seed" is no such list, and "Supported parameters are: seed" is one.
_ACCEPTED_LIST = re.compile(
    r"(?<!un)(?<!not )\b(supported|allowed|valid|permitted|accepted)\b[^.:]{0,30}(\bare\b|:).*",
    re.IGNORECASE | re.DOTALL,
)


def find_refused_names(
    said: ErrorBody, sent: Mapping[str, Json], names: Iterable[str]
) -> list[str]:
    """Return which of `names` a refusal of the body `sent` is about.

    A field that the error names as such counts first. Many endpoints name it only in their message.
    """
    fields = [field for field in said.fields if field in sent]
    if fields:
        return [name for name in names if name in fields]
    message = _ACCEPTED_LIST.sub("", said.message)
    return [name for name in names if re.search(rf"\b{re.escape(name)}\b", message)]


def is_newer_length_wanted(said: ErrorBody) -> bool:
    """Return whether a refusal asks for the newer name of the length limit."""
    is_about_length = LENGTH_KEY in said.fields or LENGTH_KEY in said.message
    return is_about_length and NEWER_LENGTH_KEY in said.message


def rename_length(body: Mapping[str, Json]) -> dict[str, Json]:
    """Return a body with the length limit under its newer name."""
    return {NEWER_LENGTH_KEY if key == LENGTH_KEY else key: body[key] for key in body}
