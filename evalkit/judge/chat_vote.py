"""A chat model asked for verdicts: one question, one strict reply, one more chance, then unscored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from evalkit.core.judgement import CriterionVerdict, JudgeExchange, JudgeVote
from evalkit.core.literals import Json
from evalkit.judge.completion import Completion
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.prompt import RETRY_PROMPT, Message, build_messages, build_reply_schema
from evalkit.judge.reply_parser import UnusableReply, parse_verdicts

MAX_REPLIES = 2
"""Replies that are read before an answer stays unscored."""


class ChatModel(Protocol):
    """A chat model behind whatever it takes to reach it; trouble on the way is a completion of that kind."""

    async def complete(self, messages: Sequence[Message], schema: Json, vote: int) -> Completion:
        """Ask once, within the budget of attempts and time."""


async def ask_judge(chat: ChatModel, question: JudgeRequest, nonce: str) -> JudgeVote:
    """Have a model judge one answer; a reply that is no verdict is told so and asked for once more."""
    messages = list(build_messages(question, nonce))
    schema = build_reply_schema(question)
    account = JudgeVote()
    asked = _render_messages(messages)
    for _ in range(MAX_REPLIES):
        completion = await chat.complete(messages, schema, question.vote)
        account = _add_usage(account, completion)
        if completion.error_kind:
            account = _append_exchange(
                account, JudgeExchange(asked=asked, problem=completion.error)
            )
            return replace(
                account,
                state="judge_error",
                kind=completion.error_kind,
                problem=completion.error,
            )
        try:
            verdicts = _read_verdicts(completion, question, nonce)
        except UnusableReply as unusable:
            reason = str(unusable)
            answered = completion.text or completion.refusal
            account = _append_exchange(
                account, JudgeExchange(asked=asked, answered=answered, problem=reason)
            )
            account = replace(
                account,
                state="unscored",
                kind=unusable.kind,
                problem=f"the judge's reply is no verdict: {reason}",
            )
            asked = RETRY_PROMPT.format(problem=reason, nonce=nonce)
            messages += [
                Message(role="assistant", content=answered),
                Message(role="user", content=asked),
            ]
            continue
        account = _append_exchange(account, JudgeExchange(asked=asked, answered=completion.text))
        return replace(account, state="scored", kind="", problem="", verdicts=verdicts)
    return account


def _read_verdicts(
    completion: Completion, question: JudgeRequest, nonce: str
) -> tuple[CriterionVerdict, ...]:
    """The verdicts in a completion that ended as it should.

    Raises:
        Unusable: it ended otherwise, or holds no verdict.
    """
    if completion.refusal:
        raise UnusableReply("refusal", f"the judge refuses: {completion.refusal[:200]!r}.")
    if completion.finish_reason == "length":
        raise UnusableReply("cut_off", "it was cut off by its length limit.")
    if completion.finish_reason == "content_filter":
        raise UnusableReply("content_filter", "a content filter stopped it.")
    return parse_verdicts(completion.text, question, nonce)


def _add_usage(account: JudgeVote, completion: Completion) -> JudgeVote:
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


def _append_exchange(account: JudgeVote, exchange: JudgeExchange) -> JudgeVote:
    return replace(account, exchanges=(*account.exchanges, exchange))


def _render_messages(messages: Sequence[Message]) -> str:
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in messages)
