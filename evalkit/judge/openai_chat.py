"""Call a judge model within a run's limits: attempts, time, cost, and calls in flight."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from evalkit.agents.completion import ChatCompletion, count_tokens
from evalkit.agents.error_body import find_error_message, is_context_length_error
from evalkit.agents.lane import Lane, NoTurn
from evalkit.agents.network_errors import TRANSIENT_STATUSES
from evalkit.agents.openai_client import BadReplyError, ChatClient, ChatRequestError
from evalkit.agents.rate_limits import TokenEstimate
from evalkit.agents.retry import retry_call
from evalkit.core.judgement import JudgeSpec
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.safe_text import one_line
from evalkit.core.trial import AgentError
from evalkit.judge.budgets import CircuitBreaker, CostBudget
from evalkit.judge.completion import Completion
from evalkit.judge.prices import PriceList
from evalkit.judge.prompt import Message
from evalkit.judge.reply_parser import is_json_object
from evalkit.judge.request_format import (
    JSON_MODES,
    REFUSAL_STATUSES,
    JsonMode,
    RequestFormat,
    iter_reply_texts,
)

MAX_SERVER_MESSAGE_LENGTH = 300

_USER_FIXABLE_KINDS = ("auth", "not_found", "redirect")
_BAD_KEY_PATTERN = re.compile(r"invalid_api_key|api key not valid|incorrect api key", re.IGNORECASE)
_CONTENT_FILTER_PATTERN = re.compile(r"content_filter|content management policy", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    messages: tuple[Mapping[str, str], ...]
    schema: Json
    vote: int
    key: object = field(default_factory=object)

    @property
    def characters(self) -> int:
        """The length of the messages."""
        return sum(len(text) for message in self.messages for text in message.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attempt:
    """A completion, or the error of the last request."""

    completion: Completion
    error: AgentError | None = None
    was_sent: bool = True


class _JudgeDown(Exception):
    """The circuit breaker has tripped: no further request may be sent."""


class OpenaiChat:
    """Calls one model at one endpoint.

    The first call probes in which mode the endpoint returns JSON. Calls that arrive meanwhile use the
    most likely mode, and are repeated in the right mode if that was wrong.
    """

    def __init__(  # noqa: PLR0913 - the limits and records of one judge
        self,
        spec: JudgeSpec,
        client: ChatClient,
        request_format: RequestFormat,
        *,
        breaker: CircuitBreaker,
        prices: PriceList,
        lane: Lane,
    ) -> None:
        self._spec = spec
        self._client = client
        self._format = request_format
        self._breaker = breaker
        self._prices = prices
        self._lane = lane
        breaker.on_trip = lane.close
        self._estimate = TokenEstimate(request_format.max_output_tokens)
        self._cost_budget = CostBudget(spec.max_cost_usd)

    async def complete(self, messages: Sequence[Message], schema: Json, vote: int) -> Completion:
        """Return a reply, or the error after which no further attempt is allowed or would help."""
        call = _Call(messages=tuple(map(asdict, messages)), schema=schema, vote=vote)
        completion = await self._ask_or_guess(call)
        if not completion.error_kind:
            self._breaker.record_success()
        # Other prompts may still be short enough, so a prompt that is too long is not counted.
        elif completion.error_kind not in ("context_length", "judge_down"):
            self._breaker.record_failure(completion.error)
        return completion

    async def _ask_or_guess(self, call: _Call) -> Completion:
        """Ask in the known mode; or probe the modes; or use the most likely one while another call probes."""
        guess = None
        if self._can_guess():
            self._format.guesses_left -= 1
            guess = await self._ask(call, JSON_MODES[0])
            if not _is_wrong_mode(guess):
                if not guess.error_kind:
                    self._format.settle_mode(JSON_MODES[0])
                return guess
        await self._format.wait_for_mode()
        if self._format.mode is None:
            with self._format.probe_mode():
                return await self._probe_modes(call, guess)
        if guess is None:
            return await self._ask(call, self._format.mode)
        # The guess used the first mode: if that is the known mode, its result is final.
        if self._format.mode == JSON_MODES[0]:
            return guess
        completion = await self._ask(call, self._format.mode)
        return completion.with_usage(guess, completion)

    def _can_guess(self) -> bool:
        return (
            self._format.mode is None
            and self._format.is_probing
            and self._format.guesses_left > 0
            and self._lane.has_capacity
            # A wrong guess costs money, so it is not worthwhile with a limit on the cost.
            and not self._cost_budget.is_limited
        )

    async def _probe_modes(self, call: _Call, guess: Completion | None) -> Completion:
        """Try one mode after the other until a reply is JSON; `guess` is the result of the first mode.

        Try the next mode after a refusal or a reply that is not a JSON object. If no
        mode gets JSON, use the first one that got any reply. Stop when another call's guess was right.
        """
        spent: list[Completion] = []
        refused = answered = None
        for mode in JSON_MODES:
            completion = guess or await self._ask(call, mode)
            guess = None
            spent.append(completion)
            if not _is_wrong_mode(completion):
                if not completion.error_kind:
                    self._format.settle_mode(mode)
                return completion.with_usage(*spent)
            if completion.error_kind:
                refused = refused or completion
            else:
                answered = answered or (mode, completion)
            if self._format.mode:
                break
        if answered:
            self._format.settle_mode(answered[0])
        result = answered[1] if answered else refused or completion
        return result.with_usage(*spent)

    async def _ask(self, call: _Call, mode: JsonMode) -> Completion:
        """Ask in `mode`, or in the known mode if there is one by then, with retries.

        A request that is repeated without a refused parameter does not count as an attempt.
        """
        requests = 0

        async def attempt(number: int) -> _Attempt:
            nonlocal requests
            timeout_s = self._spec.timeout_s
            if number > 1:
                timeout_s = min(timeout_s, max(self._lane.left_s, 0.001))
            while True:
                result = await self._send(call, mode, timeout_s)
                # This loop ends, because a dropped parameter is never sent again in this run.
                requests += result is None or result.was_sent
                if result is not None:
                    return result

        try:
            retried = await retry_call(
                attempt, attempts=self._spec.attempts, lane=self._lane, wait=self._breaker.wait
            )
        except _JudgeDown:
            reason = self._breaker.trip_reason
            return Completion(calls=requests, error_kind="judge_down", error=reason)
        completion, error = retried.result.completion, retried.result.error
        if error is None:
            return replace(completion, calls=requests)
        if error.kind == "content_filter":
            return Completion(calls=requests, finish_reason="content_filter")
        message = f"{error.message} {retried.give_up_reason}".rstrip()
        return Completion(calls=requests, error_kind=error.kind, error=message)

    async def _send(self, call: _Call, mode: JsonMode, timeout_s: float) -> _Attempt | None:
        """Send one request as soon as the limits of the judge and of its endpoint allow it.

        Return None if the endpoint refused a parameter, which no later request has.

        Raises:
            _JudgeDown: no request may be sent any more.
        """
        self._raise_if_down()
        try:
            async with self._lane.turn(call.key, self._estimate.estimate(call.characters)) as turn:
                if self._cost_budget.exhausted_reason:
                    self._breaker.trip(self._cost_budget.exhausted_reason)
                self._raise_if_down()  # again: other calls may have tripped it meanwhile
                # Now, because the mode may have been found while this call waited.
                body = self._format.build_body(self._format.mode or mode, call.schema, call.vote)
                try:
                    reply = await self._client.complete(call.messages, body, timeout_s)
                except ChatRequestError as failed:
                    if self._format.drop_refused_parameter(failed, body):
                        turn.record(None)
                        return None
                    error = turn.record(self._classify_error(failed))
                    return _Attempt(completion=Completion(), error=error)
                completion = _to_completion(reply, self._prices)
                turn.record(
                    None, self._estimate.add(completion.input_tokens, completion.output_tokens)
                )
        except NoTurn as refused:
            self._raise_if_down()
            return _Attempt(completion=Completion(), error=refused.error, was_sent=False)
        self._cost_budget.add_cost(completion.cost_usd)
        return _Attempt(completion=completion)

    def _raise_if_down(self) -> None:
        if self._breaker.trip_reason:
            raise _JudgeDown

    def _classify_error(self, failed: ChatRequestError) -> AgentError:
        """Return the error of a failed request; trip the breaker if all later requests would fail too."""
        error, status = failed.error, failed.status
        # The order matters: endpoints use the same status for several of these errors.
        if isinstance(failed, BadReplyError):
            # Gateways send such replies during short problems: another attempt may get a completion.
            kind = "rate_limited" if status == 429 else error.kind
            is_retryable = status in TRANSIENT_STATUSES or status == 0 or status >= 500
            error = replace(error, kind=kind, retryable=is_retryable)
        reason = one_line(find_error_message(failed.body), MAX_SERVER_MESSAGE_LENGTH)
        message = f"{error.message} It said: {reason!r}." if reason else error.message
        error = replace(error, message=message)
        is_refusal = status in REFUSAL_STATUSES
        if is_context_length_error(error.detail):
            return _make_final(error, "context_length")
        if is_refusal and _CONTENT_FILTER_PATTERN.search(error.detail):
            return _make_final(error, "content_filter")
        if error.kind in _USER_FIXABLE_KINDS or (
            is_refusal and _BAD_KEY_PATTERN.search(error.detail)
        ):
            self._breaker.trip(message, self._describe_user_fix(error))
            return _make_final(error, error.kind)
        if status == 402 or (status == 429 and not error.retryable):
            self._breaker.trip(message)
            return _make_final(error, "no_credit")
        if is_refusal:
            return _make_final(error, "bad_request")
        is_cut = error.kind == "timeout" or status > 501
        return replace(error, retryable=error.retryable or is_cut)

    def _describe_user_fix(self, error: AgentError) -> Problem:
        variable = self._client.key_variable
        remedy = {
            "redirect": "",
            "not_found": f" Fix 'model' or 'base_url'; the key is the one in {variable}.",
        }.get(error.kind, f" Set {variable} to a key that it accepts.")
        where = Location(path=self._spec.path, line=self._spec.line) if self._spec.path else None
        return Problem(message=f"judge openai: {error.message}{remedy}", where=where)


def _make_final(error: AgentError, kind: str) -> AgentError:
    return replace(error, kind=kind, retryable=False, transient=False)


def _to_completion(reply: ChatCompletion, prices: PriceList) -> Completion:
    """Return a reply as a Completion; join several choices or tool calls to a text that is no valid reply."""
    tokens = count_tokens(reply.usage)
    choices = reply.choices
    return Completion(
        text="\n".join(iter_reply_texts(reply)),
        finish_reason=next(filter(None, (choice.finish_reason for choice in choices)), "stop"),
        refusal=next(filter(None, (choice.refusal for choice in choices)), ""),
        model=reply.model,
        fingerprint=reply.fingerprint,
        input_tokens=tokens.input_tokens,
        output_tokens=tokens.output_tokens,
        cost_usd=prices.compute_cost_usd(tokens, reply.model),
    )


def _is_wrong_mode(completion: Completion) -> bool:
    """Return whether an endpoint refused the mode, or sent a whole reply that is not JSON."""
    if completion.error_kind:
        return completion.error_kind == "bad_request"
    return completion.is_whole and not is_json_object(completion.text)
