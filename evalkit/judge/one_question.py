"""Ask a judge one question with a known answer, to find out whether it can be reached and what it costs."""

from __future__ import annotations

import asyncio
import http.client
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from evalkit.agents.anthropic_client import ANTHROPIC_DEFAULTS
from evalkit.agents.endpoint import OPENAI_DEFAULTS, Endpoint
from evalkit.core.judgement import JudgeSpec, JudgeVote
from evalkit.core.run import RunEnvironment
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.known_answer import BUILT_IN_CONTROL_RUBRIC
from evalkit.judge.registry import open_judges

MAX_WAIT_S = 20.0
"""How long one question may take, so that nothing hangs without a network."""

CLOCK_TIMEOUT_S = 5.0

_DEFAULTS = {"openai": OPENAI_DEFAULTS, "anthropic": ANTHROPIC_DEFAULTS}


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedJudge:
    """A judge's name and its one vote; `is_right` says whether it found the known answer good."""

    name: str
    vote: JudgeVote
    is_right: bool


async def ask_once(spec: JudgeSpec, environment: RunEnvironment) -> AskedJudge:
    """Ask a judge with a valid spec once, without repeating a call that fails."""
    wait_s = min(spec.timeout_s or MAX_WAIT_S, MAX_WAIT_S)
    hasty = replace(spec, attempts=1, deadline_s=0, votes=1, timeout_s=wait_s)
    [control, *_] = BUILT_IN_CONTROL_RUBRIC.controls
    async with open_judges((hasty,), environment) as (judge,):
        try:
            async with asyncio.timeout(2 * MAX_WAIT_S):
                vote = await judge.grade(JudgeRequest.of(BUILT_IN_CONTROL_RUBRIC, control))
        except TimeoutError:
            vote = JudgeVote(state="judge_error", kind="timeout", problem="no reply in time")
        right = vote.state == "scored" and all(each.value == 1 for each in vote.verdicts)
        return AskedJudge(name=judge.name, vote=vote, is_right=right)


def find_judge_url(spec: JudgeSpec, environment: RunEnvironment) -> str:
    """Return the URL of a judge's endpoint; empty if it has none."""
    defaults = _DEFAULTS.get(spec.kind)
    if defaults is None:
        return ""
    return Endpoint.resolve(spec.args.get("base_url"), None, environment.environ, defaults).url


def read_server_time(url: str) -> datetime | None:
    """Return the time in the Date header of a server, whatever else it replies; None if there is none."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    # Without the header, parsing its value raises TypeError.
    with (
        suppress(OSError, ValueError, TypeError, http.client.HTTPException),
        closing(kind(parts.netloc, timeout=CLOCK_TIMEOUT_S)) as connection,
    ):
        connection.request("HEAD", parts.path or "/")
        return parsedate_to_datetime(connection.getresponse().headers["Date"])
    return None
