"""Judges for tests: what a request to a chat model asks for, and models that answer it, well or badly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.scripted_server import Asked, Play, json_reply

GOOD_LEVELS = ("yes", "all", "good")


@dataclass(frozen=True)
class Asking:
    """A request to a judge, taken apart as a model would read it."""

    system: str
    nonce: str
    material: Mapping[str, str]
    levels: Mapping[str, Sequence[str]]
    body: Mapping[str, Any]

    @property
    def answer(self) -> str:
        return self.material["answer"]


def read_asking(body: Mapping[str, Any]) -> Asking:
    """What a judge is asked, from the messages alone."""
    system, user = (message["content"] for message in body["messages"][:2])
    # The lines of the material are told from ours by their place, as the rules say.
    first, *lines, end, last = user.split("\n")
    nonce = first.removeprefix("BEGIN ")
    assert re.fullmatch("[0-9a-f]{16}", nonce), first
    assert end == f"END {nonce}", user
    assert last.endswith(f'"nonce": "{nonce}".'), last
    assert nonce not in system, "the system message is the same for every call"
    levels = {
        key: re.findall(r"^- ([^:\n]+)", listed, re.MULTILINE)
        for key, listed in re.findall(
            r"^Criterion (\S+): .*\nLevels:\n((?:- .*\n?)+)", system, re.MULTILINE
        )
    }
    return Asking(
        system=system, nonce=nonce, material=json.loads("\n".join(lines)), levels=levels, body=body
    )


def verdict_of(asking: Asking, choose: Callable[[str, Sequence[str]], str]) -> dict[str, Any]:
    """A whole verdict, with the level that is chosen for each criterion."""
    return {
        "nonce": asking.nonce,
        "verdicts": {
            key: {"evidence": "", "explanation": "As it is.", "level": choose(key, levels)}
            for key, levels in asking.levels.items()
        },
    }


def honest(asking: Asking) -> dict[str, Any]:
    """Gives the first level to answers that hold the reference's words, the last one to all others."""
    reference = asking.material.get("reference", "\0")
    is_right = reference.casefold() in asking.answer.casefold()
    return verdict_of(asking, lambda _, levels: levels[0 if is_right else -1])


def completion(content: object, finish_reason: str = "stop", **message: object) -> dict[str, Any]:
    """A chat completion as an endpoint sends it."""
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m1-2026-11",
        "system_fingerprint": "fp1",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": content, **message},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }


def replying(judge: Callable[[Asking], object]) -> Callable[[Asked], Play]:
    """A model that replies with what a judge says, as JSON unless it is a text."""

    def choose(asked: Asked) -> Play:
        said = judge(read_asking(asked.json))
        return json_reply(completion(said if isinstance(said, str) else json.dumps(said)))

    return choose
