"""Ask a chat model for verdicts; after two invalid replies, leave the answer unscored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from evalkit.agents.chat_content import classify_finish
from evalkit.core.judgement import CriterionVerdict, JudgeExchange, JudgeVote
from evalkit.core.literals import Json
from evalkit.core.safe_text import one_line
from evalkit.judge.completion import Completion
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.prompt import RETRY_PROMPT, Message, build_messages, build_reply_schema
from evalkit.judge.reply_parser import UnusableReply, parse_verdicts

MAX_REASON_LENGTH = 80
MAX_REPLIES = 2
"""Replies to one request before the answer is unscored."""


class ChatModel(Protocol):
    """A chat model and the connection to it; a failure is a completion with an `error_kind`."""

    async def complete(self, messages: Sequence[Message], schema: Json, vote: int) -> Completion:
        """Ask once, within the budget of attempts and time."""


async def ask_judge(chat: ChatModel, request: JudgeRequest, nonce: str) -> JudgeVote:
    """Have a model judge one answer; after an invalid reply, report why to the model and ask once more."""
    messages = list(build_messages(request, nonce))
    schema = build_reply_schema(request)
    total = JudgeVote()
    asked = "\n\n".join(f"[{message.role}]\n{message.content}" for message in messages)
    for _ in range(MAX_REPLIES):
        completion = await chat.complete(messages, schema, request.vote)
        total = _add_usage(total, completion)
        if completion.error_kind:
            exchange = JudgeExchange(asked=asked, problem=completion.error)
            return replace(
                total,
                state="judge_error",
                kind=completion.error_kind,
                problem=completion.error,
                exchanges=(*total.exchanges, exchange),
            )
        try:
            verdicts = _read_verdicts(completion, request, nonce)
        except UnusableReply as unusable:
            reason = str(unusable)
            answered = completion.text or completion.refusal
            exchange = JudgeExchange(asked=asked, answered=answered, problem=reason)
            total = replace(
                total,
                state="unscored",
                kind=unusable.kind,
                problem=f"the judge's reply is not a verdict: {reason}",
                exchanges=(*total.exchanges, exchange),
            )
            asked = RETRY_PROMPT.format(problem=reason, nonce=nonce)
            # The model sees its own reply, so that it can correct it.
            messages += [
                Message(role="assistant", content=answered),
                Message(role="user", content=asked),
            ]
            continue
        exchange = JudgeExchange(asked=asked, answered=completion.text)
        return replace(
            total,
            state="scored",
            kind="",
            problem="",
            verdicts=verdicts,
            exchanges=(*total.exchanges, exchange),
        )
    return total


def _read_verdicts(
    completion: Completion, request: JudgeRequest, nonce: str
) -> tuple[CriterionVerdict, ...]:
    """Return the verdicts in a completion that ended normally.

    Raises:
        UnusableReply: it did not end normally, or has no valid verdicts.
    """
    if completion.refusal:
        raise UnusableReply("refusal", f"the judge refuses: {completion.refusal[:200]!r}.")
    if completion.objection_kind:
        raise UnusableReply(completion.objection_kind, completion.objection)
    match classify_finish(completion.finish_reason):
        case "cut_off":
            raise UnusableReply("cut_off", "it was cut off by its length limit.")
        case "filtered":
            raise UnusableReply("content_filter", "a content filter stopped it.")
        case "failed" | "unknown":
            reason = one_line(completion.finish_reason, MAX_REASON_LENGTH)
            raise UnusableReply("finish_reason", f"it did not end normally, but with {reason!r}.")
    return parse_verdicts(completion.text, request, nonce)


def _add_usage(vote: JudgeVote, completion: Completion) -> JudgeVote:
    costs = [cost for cost in (vote.cost_usd, completion.cost_usd) if cost is not None]
    return replace(
        vote,
        model=completion.model or vote.model,
        fingerprint=completion.fingerprint or vote.fingerprint,
        calls=vote.calls + completion.calls,
        input_tokens=vote.input_tokens + completion.input_tokens,
        output_tokens=vote.output_tokens + completion.output_tokens,
        cached_tokens=vote.cached_tokens + completion.cached_tokens,
        cost_usd=sum(costs) if costs else None,
    )
