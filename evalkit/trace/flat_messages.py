"""Read messages that a library spreads over numbered attributes: OpenInference and OpenLLMetry."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evalkit.core.literals import Json

_NAMES = re.compile(
    r"(?:llm\.(input|output)_messages|gen_ai\.(prompt|completion))\.(\d{1,4})\."
    r"(?:message\.)?(role|content)"
)
_PARTS = re.compile(
    r"llm\.(input|output)_messages\.(\d{1,4})\.message\.contents\.(\d{1,4})\.message_content\.text"
)


def read_flat_messages(attributes: Mapping[str, Json]) -> tuple[list[Json], list[Json]]:
    """Return the messages that a model was sent and those that it answered; empty without any."""
    found: dict[tuple[bool, int], dict[str, Json]] = {}
    for name, value in attributes.items():
        if not name.startswith(("llm.", "gen_ai.")):
            continue
        if match := _NAMES.fullmatch(name):
            is_output = "output" in match.groups() or "completion" in match.groups()
            found.setdefault((is_output, int(match[3])), {})[match[4]] = value
        elif (match := _PARTS.fullmatch(name)) and isinstance(value, str):
            message = found.setdefault((match[1] == "output", int(match[2])), {})
            message["content"] = f"{message.get('content') or ''}{value}"
    ordered = sorted(found.items())
    asked = [message for (is_output, _), message in ordered if not is_output]
    return asked, [message for (is_output, _), message in ordered if is_output]
