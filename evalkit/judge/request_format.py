"""Find in which mode an endpoint returns JSON and which parameters it refuses, once for each run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TypeAlias, get_args

from evalkit.agents.openai_client import ChatRequestError
from evalkit.agents.refused_fields import (
    LENGTH_KEY,
    NEWER_LENGTH_KEY,
    find_refused_names,
    is_newer_length_wanted,
    rename_length,
)
from evalkit.core.literals import Json

VERDICT_TOOL = "give_verdict"

JsonMode: TypeAlias = Literal["json_schema", "tool", "json_object", "text"]
JSON_MODES: tuple[JsonMode, ...] = get_args(JsonMode)
"""From strict to loose: a JSON Schema that the endpoint enforces; a tool whose arguments have that
schema; JSON without a schema; and plain text as the prompt asks for it."""

REFUSAL_STATUSES = (0, 400, 404, 422, 500, 501)
"""The statuses with which endpoints refuse a part of a request; 0 is a reply of success with an error."""

REFUSAL_KINDS = ("bad_request", "bad_reply", "http_status", "not_found", "auth")
"""The kinds of errors that may be about a parameter which the message names."""

OPTIONAL_PARAMETERS = ("temperature", "seed", "max_tokens", "max_completion_tokens")
"""Parameters that are left out if the endpoint refuses them."""

MAX_GUESSES = 7
"""The maximum number of calls that use the most likely mode before the mode is known.

It is high enough for a judge's controls to start at once, and low enough that only a few calls try a
bad key.
"""


class RequestFormat:
    """The mode and the parameters of requests.

    `mode` is None until it is known. While `is_probing`, one call tries the modes and others wait. It
    `is_walked` once a call has tried all modes.
    """

    def __init__(
        self, parameters: Mapping[str, Json], extra: Mapping[str, Json] | None = None
    ) -> None:
        self.mode: JsonMode | None = None
        self.is_probing = False
        self.is_walked = False
        self.guesses_left = MAX_GUESSES
        self._mode_changed = asyncio.Event()
        self._extra = dict(extra or {})
        self._parameters = {key: value for key, value in parameters.items() if value is not None}

    @property
    def max_output_tokens(self) -> float | None:
        """The limit of tokens of a reply, if there is one."""
        limit = self._parameters.get("max_tokens", self._extra.get("max_completion_tokens"))
        return float(limit) if isinstance(limit, int) else None

    def settle_mode(self, mode: JsonMode) -> None:
        """Use this mode for the rest of the run, unless another one is known already."""
        self.mode = self.mode or mode
        self._notify()

    @contextmanager
    def probe_mode(self) -> Iterator[None]:
        """Make other calls wait while this context is open."""
        self.is_probing = True
        try:
            yield
        finally:
            self.is_probing = False
            self._notify()

    async def wait_for_mode(self) -> None:
        """Wait until the mode is known, or no call probes it any more."""
        while self.mode is None and self.is_probing:
            await self._mode_changed.wait()

    def _notify(self) -> None:
        # A new event, so that later calls wait for the next change.
        self._mode_changed.set()
        self._mode_changed = asyncio.Event()

    def build_body(self, mode: JsonMode, schema: Json, vote: int) -> dict[str, Json]:
        """Return a request without model and messages; every vote has a seed of its own."""
        # The mode comes last: nothing may override the format that the parser expects.
        body = {**self._extra, **self._parameters, **_build_mode_fields(mode, schema)}
        if "seed" in body:
            body["seed"] += vote
        return body

    def drop_refused_parameter(self, refused: ChatRequestError, sent: Mapping[str, Json]) -> bool:
        """Drop the parameter that a refusal names; return whether another request would differ."""
        if refused.status not in REFUSAL_STATUSES or refused.error.kind not in REFUSAL_KINDS:
            return False
        # `extra` stays as the user wrote it.
        sent_by_us = [
            name for name in OPTIONAL_PARAMETERS if name in sent and name not in self._extra
        ]
        refused_names = find_refused_names(refused.said, sent, sent_by_us)
        if not refused_names:
            return False
        if is_newer_length_wanted(refused.said) and LENGTH_KEY in refused_names:
            self._parameters = rename_length(self._parameters)
        else:
            self._parameters.pop(refused_names[0], None)
        return True

    def build_plain_body(self) -> dict[str, Json]:
        """Return the loosest request: what the user wants in every body, and the limit of its length."""
        lengths = (LENGTH_KEY, NEWER_LENGTH_KEY)
        kept = {key: self._parameters[key] for key in lengths if key in self._parameters}
        return {**self._extra, **kept}


def _build_mode_fields(mode: JsonMode, schema: Json) -> dict[str, Json]:
    match mode:
        case "json_schema":
            form = {"name": "verdict", "strict": True, "schema": schema}
            return {"response_format": {"type": "json_schema", "json_schema": form}}
        case "tool":
            description = "Give the verdict on every criterion."
            function = {"name": VERDICT_TOOL, "description": description, "parameters": schema}
            return {
                "tools": [{"type": "function", "function": function}],
                "tool_choice": {"type": "function", "function": {"name": VERDICT_TOOL}},
            }
        case "json_object":
            return {"response_format": {"type": "json_object"}}
    return {}
