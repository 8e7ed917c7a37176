"""A chat model asked for verdicts: one question, one strict reply, one more chance, then unscored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from evalkit.judgement import CriterionVerdict, Exchange, Reading
from evalkit.judging.prompt import AGAIN, Message, build_messages, reply_schema
from evalkit.judging.question import Question
from evalkit.judging.replies import Unusable, read_reply
from evalkit.records import Json

CHANCES = 2
"""Replies that are read before an answer stays unscored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """What one call came to, with all its attempts; `error_kind` is set when no reply could be had."""

    text: str = ""
    finish_reason: str = "stop"
    refusal: str = ""
    model: str = ""
    fingerprint: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    calls: int = 1
    error_kind: str = ""
    error: str = ""


class Chat(Protocol):
    """A chat model behind whatever it takes to reach it; trouble on the way is a completion of that kind."""

    async def complete(self, messages: Sequence[Message], schema: Json, vote: int) -> Completion:
        """Ask once, within the budget of attempts and time."""


async def ask(chat: Chat, question: Question, nonce: str) -> Reading:
    """Have a model judge one answer; a reply that is no verdict is told so and asked for once more."""
    messages = list(build_messages(question, nonce))
    schema = reply_schema(question)
    account = Reading()
    asked = _shown(messages)
    for _ in range(CHANCES):
        completion = await chat.complete(messages, schema, question.vote)
        account = _add_up(account, completion)
        if completion.error_kind:
            account = _note(account, Exchange(asked=asked, problem=completion.error))
            return replace(
                account,
                state="judge_error",
                kind=completion.error_kind,
                problem=completion.error,
            )
        try:
            verdicts = _read(completion, question, nonce)
        except Unusable as unusable:
            reason = str(unusable)
            answered = completion.text or completion.refusal
            account = _note(account, Exchange(asked=asked, answered=answered, problem=reason))
            account = replace(
                account,
                state="unscored",
                kind=unusable.kind,
                problem=f"the judge's reply is no verdict: {reason}",
            )
            asked = AGAIN.format(problem=reason, nonce=nonce)
            messages += [
                Message(role="assistant", content=answered),
                Message(role="user", content=asked),
            ]
            continue
        account = _note(account, Exchange(asked=asked, answered=completion.text))
        return replace(account, state="scored", kind="", problem="", verdicts=verdicts)
    return account


def _read(completion: Completion, question: Question, nonce: str) -> tuple[CriterionVerdict, ...]:
    """The verdicts in a completion that ended as it should.

    Raises:
        Unusable: it ended otherwise, or holds no verdict.
    """
    if completion.refusal:
        raise Unusable("refusal", f"the judge refuses: {completion.refusal[:200]!r}.")
    if completion.finish_reason == "length":
        raise Unusable("cut_off", "it was cut off by its length limit.")
    if completion.finish_reason == "content_filter":
        raise Unusable("content_filter", "a content filter stopped it.")
    return read_reply(completion.text, question, nonce)


def _add_up(account: Reading, completion: Completion) -> Reading:
    costs = [cost for cost in (account.cost_usd, completion.cost_usd) if cost is not None]
    return replace(
        account,
        model=completion.model or account.model,
        fingerprint=completion.fingerprint or account.fingerprint,
        calls=account.calls + completion.calls,
        input_tokens=account.input_tokens + completion.input_tokens,
        output_tokens=account.output_tokens + completion.output_tokens,
        cost_usd=sum(costs) if costs else None,
    )


def _note(account: Reading, exchange: Exchange) -> Reading:
    return replace(account, exchanges=(*account.exchanges, exchange))


def _shown(messages: Sequence[Message]) -> str:
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in messages)
