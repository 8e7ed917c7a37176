"""A chat model asked within a run's budget: attempts, patience, money, and how many calls at once."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace

from evalkit.agents.openai_client import ChatClient, ChatRequestError, Endpoint
from evalkit.agents.wrappers import compute_wait_s
from evalkit.core.format import format_count
from evalkit.core.judgement import JudgeSpec
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.safe_text import one_line
from evalkit.core.trial import AgentError
from evalkit.judge.budgets import AdaptiveLimit, CircuitBreaker, CostBudget, RetryBudget
from evalkit.judge.chat_vote import Completion
from evalkit.judge.completion import parse_completion
from evalkit.judge.prices import PriceList
from evalkit.judge.prompt import Message
from evalkit.judge.reply_parser import is_context_length_error, is_json_object
from evalkit.judge.request_format import (
    JSON_MODES,
    REFUSAL_STATUSES,
    JsonMode,
    RequestFormat,
    find_error_message,
)

MAX_SERVER_MESSAGE_LENGTH = 300

_OVERLOAD_STATUSES = (429, 503, 529)
_TRANSIENT_STATUSES = (408, 409)
"""Statuses below 500 that a second attempt may not meet; so the openai client has it."""

_USER_FIXABLE_KINDS = ("auth", "not_found", "redirect")
_BAD_KEY_PATTERN = re.compile(r"invalid_api_key|api key not valid|incorrect api key", re.IGNORECASE)
_CONTENT_FILTER_PATTERN = re.compile(r"content_filter|content management policy", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeResources:
    """What a judge has for the length of a run, shared by all its calls."""

    client: ChatClient
    request_format: RequestFormat
    concurrency_limit: AdaptiveLimit
    retry_budget: RetryBudget
    circuit_breaker: CircuitBreaker
    cost_budget: CostBudget
    prices: PriceList


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    messages: tuple[Mapping[str, str], ...]
    schema: Json
    vote: int


class _JudgeDown(Exception):
    """The fuse blew while a call waited for room."""


class OpenaiChat:
    """Asks one model at one endpoint.

    The first question finds out in which mode the endpoint gives JSON. Those that come meanwhile are asked
    in the likeliest one, and once more in the right one where that was wrong.
    """

    def __init__(
        self, spec: JudgeSpec, endpoint: Endpoint, means: JudgeResources, rng: random.Random
    ) -> None:
        self._spec = spec
        self._server = endpoint.server
        self._key_variable = endpoint.key_variable
        self._resources = means
        self._rng = rng

    async def complete(self, messages: Sequence[Message], schema: Json, vote: int) -> Completion:
        """Ask until there is a reply, or the budget is spent, or asking again cannot help."""
        call = _Call(messages=tuple(map(asdict, messages)), schema=schema, vote=vote)
        completion = await self._ask_or_guess(call)
        if not completion.error_kind:
            self._resources.circuit_breaker.record_success()
        elif completion.error_kind not in ("context_length", "judge_down"):
            self._resources.circuit_breaker.record_failure(completion.error)
        return completion

    async def _ask_or_guess(self, call: _Call) -> Completion:
        """Ask in the mode that is known, or find it out, or guess it while another question does."""
        dialect, guess = self._resources.request_format, None
        if self._can_guess():
            dialect.guesses_left -= 1
            guess = await self._ask_with_retries(call, JSON_MODES[0])
            if not _is_wrong_mode(guess):
                if not guess.error_kind:
                    dialect.settle_mode(JSON_MODES[0])
                return guess
        await dialect.wait_for_mode()
        return await self._ask_after_probe(call, guess)

    def _can_guess(self) -> bool:
        means = self._resources
        is_open = means.request_format.mode is None and means.request_format.is_probing
        return (
            is_open
            and means.request_format.guesses_left > 0
            and means.concurrency_limit.has_capacity
            and not means.cost_budget.is_limited
        )

    async def _ask_after_probe(self, call: _Call, guess: Completion | None) -> Completion:
        """Ask in the mode that is known, or find it out; a guess that was right is not made again."""
        dialect = self._resources.request_format
        if dialect.mode is None:
            with dialect.probe_mode():
                return await self._probe_modes(call, guess)
        if guess is None:
            return await self._ask_with_retries(call, dialect.mode)
        if dialect.mode == JSON_MODES[0]:
            return guess
        return _add_usage(guess, await self._ask_with_retries(call, dialect.mode))

    async def _probe_modes(self, call: _Call, guess: Completion | None) -> Completion:
        """Ask in one mode after the other until one gets JSON; a guess is what the first came to.

        A mode that is refused, or answered by something that is no JSON object, is followed by the next.
        Where none gets JSON, the first one that got any answer stays. It ends once a guess of another
        question was right.
        """
        dialect = self._resources.request_format
        spent = Completion(calls=0)
        refused = answered = None
        for mode in JSON_MODES:
            completion = guess or await self._ask_with_retries(call, mode)
            guess = None
            spent = _add_usage(spent, completion)
            if not _is_wrong_mode(completion):
                if not completion.error_kind:
                    dialect.settle_mode(mode)
                return spent
            if completion.error_kind:
                refused = refused or completion
            else:
                answered = answered or (mode, completion)
            if dialect.mode:
                break
        if answered:
            dialect.settle_mode(answered[0])
            return _with_usage(answered[1], spent)
        return _with_usage(refused or spent, spent)

    async def _ask_with_retries(self, call: _Call, mode: JsonMode) -> Completion:
        """Ask in a mode, or in the one that has been found since; a parameter that is refused is left out.

        Leaving one out costs no attempt.
        """
        means, spent, attempt = self._resources, Completion(calls=0), 0
        timeout_s = self._spec.timeout_s
        with ExitStack() as stack:
            while not means.circuit_breaker.trip_reason:
                body = means.request_format.build_body(
                    means.request_format.mode or mode, call.schema, call.vote
                )
                try:
                    return _add_usage(spent, await self._send_once(call, body, timeout_s))
                except _JudgeDown:
                    break
                except ChatRequestError as trouble:
                    spent = replace(spent, calls=spent.calls + 1)
                    if means.request_format.drop_refused_parameter(trouble, body):
                        continue
                    error = self._classify_error(trouble)
                if error.kind == "content_filter":
                    return replace(spent, finish_reason="content_filter")
                attempt += 1
                if attempt == 1:
                    stack.enter_context(means.retry_budget.count_time())
                wait_s = compute_wait_s(error, attempt, self._rng)
                end = self._find_give_up_reason(error, attempt, wait_s)
                if end is not None:
                    return replace(spent, error_kind=error.kind, error=error.message + end)
                await means.circuit_breaker.wait(wait_s)
                timeout_s = min(self._spec.timeout_s, max(means.retry_budget.remaining_s, 0.001))
        return replace(spent, error_kind="judge_down", error=means.circuit_breaker.trip_reason)

    async def _send_once(
        self, call: _Call, body: Mapping[str, Json], timeout_s: float
    ) -> Completion:
        """Ask once, when there is room.

        Raises:
            Trouble: there is no completion.
            _Down: nobody is to be asked any more.
        """
        means = self._resources
        async with means.concurrency_limit.slot() as episode:
            if means.cost_budget.exhausted_reason:
                means.circuit_breaker.trip(means.cost_budget.exhausted_reason)
            if means.circuit_breaker.trip_reason:
                raise _JudgeDown
            try:
                received, _ = await means.client.post(call.messages, body, timeout_s)
                envelope = parse_completion(received, self._server)
            except ChatRequestError as trouble:
                if trouble.status in _OVERLOAD_STATUSES:
                    means.concurrency_limit.record_rate_limit(episode)
                raise
            means.concurrency_limit.record_success()
        cost_usd = means.prices.compute_cost_usd(envelope.usage, envelope.model)
        means.cost_budget.add_cost(cost_usd)
        return Completion(
            text=envelope.text,
            finish_reason=envelope.finish_reason,
            refusal=envelope.refusal,
            model=envelope.model,
            fingerprint=envelope.fingerprint,
            input_tokens=envelope.usage.input_tokens,
            output_tokens=envelope.usage.output_tokens,
            cost_usd=cost_usd,
        )

    def _classify_error(self, trouble: ChatRequestError) -> AgentError:
        """What a failed attempt means for this call, and for all others."""
        error, status = trouble.error, trouble.status
        said = one_line(find_error_message(trouble.body), MAX_SERVER_MESSAGE_LENGTH)
        message = f"{error.message} It said: {said!r}." if said else error.message
        error = replace(error, message=message)
        if is_context_length_error(error.detail):
            return replace(error, kind="context_length", retryable=False)
        if status in REFUSAL_STATUSES and _CONTENT_FILTER_PATTERN.search(error.detail):
            return replace(error, kind="content_filter", retryable=False)
        if error.kind in _USER_FIXABLE_KINDS or (
            status in REFUSAL_STATUSES and _BAD_KEY_PATTERN.search(error.detail)
        ):
            self._resources.circuit_breaker.trip(message, self._describe_user_fix(error))
            return replace(error, retryable=False)
        if status == 402 or (status == 429 and not error.retryable):
            self._resources.circuit_breaker.trip(message)
            return replace(error, kind="no_credit", retryable=False)
        if status in REFUSAL_STATUSES:
            return replace(error, kind="bad_request", retryable=False)
        passing = error.kind == "timeout" or status in _TRANSIENT_STATUSES or (status > 501)
        return replace(error, retryable=error.retryable or passing)

    def _describe_user_fix(self, error: AgentError) -> Problem:
        remedy = {
            "redirect": "",
            "not_found": f" Mend 'model' or 'base_url'; the key is the one in {self._key_variable}.",
        }.get(error.kind, f" Set {self._key_variable} to a key that it takes.")
        where = Location(path=self._spec.path, line=self._spec.line) if self._spec.path else None
        return Problem(message=f"judge openai: {error.message}{remedy}", where=where)

    def _find_give_up_reason(self, error: AgentError, attempt: int, wait_s: float) -> str | None:
        """Why there is no further attempt; None when there is one."""
        if not error.retryable:
            return ""
        if attempt >= self._spec.attempts:
            return f" Given up after {format_count(attempt, 'attempt')}."
        left_s = self._resources.retry_budget.remaining_s
        if wait_s > left_s:
            return f" Given up: the next attempt is {wait_s:.0f} s away, deadline_s leaves {left_s:.0f} s."
        return None


def _is_wrong_mode(completion: Completion) -> bool:
    """Whether an endpoint refused, or did not heed, the mode in which it was asked."""
    if completion.error_kind:
        return completion.error_kind == "bad_request"
    return _is_prose(completion)


def _is_prose(completion: Completion) -> bool:
    """Whether a reply came to its own end and shows no sign of the JSON that was asked for."""
    is_whole = completion.finish_reason not in ("length", "content_filter")
    return is_whole and not completion.refusal and not is_json_object(completion.text)


def _add_usage(spent: Completion, completion: Completion) -> Completion:
    """A completion that bears what was spent before it, too."""
    costs = [cost for cost in (spent.cost_usd, completion.cost_usd) if cost is not None]
    return replace(
        completion,
        calls=spent.calls + completion.calls,
        input_tokens=spent.input_tokens + completion.input_tokens,
        output_tokens=spent.output_tokens + completion.output_tokens,
        cost_usd=sum(costs) if costs else None,
    )


def _with_usage(completion: Completion, spent: Completion) -> Completion:
    return replace(
        completion,
        calls=spent.calls,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cost_usd=spent.cost_usd,
    )
