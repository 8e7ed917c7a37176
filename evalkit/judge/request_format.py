"""How an endpoint wants to be asked for JSON, learned from what it refuses and remembered for a run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias, get_args

from evalkit.agents.openai_client import ChatRequestError, find_error
from evalkit.core.literals import Json
from evalkit.judge.completion import VERDICT_TOOL
from evalkit.judge.reply_parser import is_context_length_error

JsonMode: TypeAlias = Literal["json_schema", "tool", "json_object", "text"]
JSON_MODES: tuple[JsonMode, ...] = get_args(JsonMode)
"""The strictest first: a JSON Schema that the endpoint enforces; a tool whose arguments have that schema;
JSON without a schema; and nothing but the words of the prompt."""

REFUSAL_STATUSES = (400, 422)
"""What an endpoint answers to a body that it does not take."""


OPTIONAL_PARAMETERS = ("temperature", "seed", "max_tokens", "max_completion_tokens")
"""What a verdict can be had without."""

MAX_GUESSES = 7
"""How many questions at most need not wait for the mode, but are asked in the likeliest one meanwhile.

A judge's controls, then, are under way at once, and a key that is refused is not refused to everybody.
"""


class RequestFormat:
    """The mode and the parameters of requests.

    `mode` is None until it is known; `is_sought` while one question finds it out, for whose turn to do
    that the others wait.
    """

    def __init__(
        self, parameters: Mapping[str, Json], extra: Mapping[str, Json] | None = None
    ) -> None:
        self.mode: JsonMode | None = None
        self.is_probing = False
        self.guesses_left = MAX_GUESSES
        self._mode_changed = asyncio.Event()
        self._extra = dict(extra or {})
        self._parameters = {key: value for key, value in parameters.items() if value is not None}

    def settle_mode(self, mode: JsonMode) -> None:
        """Ask in this mode for the rest of the run, unless another was found before."""
        self.mode = self.mode or mode
        self._notify()

    @contextmanager
    def probe_mode(self) -> Iterator[None]:
        """Find the mode out, while others wait."""
        self.is_probing = True
        try:
            yield
        finally:
            self.is_probing = False
            self._notify()

    async def wait_for_mode(self) -> None:
        """Wait until the mode is known, or nobody seeks it any more."""
        while self.mode is None and self.is_probing:
            await self._mode_changed.wait()

    def _notify(self) -> None:
        self._mode_changed.set()
        self._mode_changed = asyncio.Event()

    def build_body(self, mode: JsonMode, schema: Json, vote: int) -> dict[str, Json]:
        """What a request holds beside model and messages; every vote has a seed of its own."""
        body = {**self._extra, **self._parameters, **_build_mode_fields(mode, schema)}
        if "seed" in body:
            body["seed"] += vote
        return body

    def drop_refused_parameter(self, trouble: ChatRequestError, sent: Mapping[str, Json]) -> bool:
        """Drop the parameter that a refusal names; whether asking again is asking otherwise."""
        if trouble.status not in REFUSAL_STATUSES or is_context_length_error(trouble.error.detail):
            return False
        said = find_error_message(trouble.body)
        ours = [name for name in OPTIONAL_PARAMETERS if name in sent and name not in self._extra]
        name = _find_refused_parameter(trouble.body, said, ours)
        if name is None:
            return False
        value = self._parameters.pop(name, None)
        if name == "max_tokens" and "max_completion_tokens" in said and value is not None:
            self._parameters["max_completion_tokens"] = value
        return True


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


def _find_refused_parameter(body: Json, said: str, candidates: Sequence[str]) -> str | None:
    """The one of some parameters that a refusal is about."""
    telling = [find_error(body).get("param"), *_iter_error_locations(body)]
    if any(telling):
        return next((name for name in candidates if name in telling), None)
    return next((name for name in candidates if re.search(rf"\b{name}\b", said)), None)


def _iter_error_locations(body: Json) -> Iterator[Any]:
    """Where in the request FastAPI and its kin found trouble."""
    details = body.get("detail") if isinstance(body, Mapping) else None
    for detail in details if isinstance(details, list) else ():
        where = detail.get("loc") if isinstance(detail, Mapping) else None
        yield from where if isinstance(where, list) else ()


def find_error_message(body: Json) -> str:
    """The message of an error, wherever it stands."""
    message = find_error(body).get("message")
    if message is None and isinstance(body, Mapping):
        message = body.get("message") or body.get("error") or body.get("detail")
    if message is None:
        message = body
    return message if isinstance(message, str) else ""
