"""Call a judge model within a run's limits: attempts, time, and calls in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from evalkit.agents.completion import ChatCompletion, count_tokens
from evalkit.agents.lane import Lane, NoPermit
from evalkit.agents.openai_client import ChatClient, ChatRequestError
from evalkit.agents.rate_limits import TokenEstimate
from evalkit.agents.retry import retry_call
from evalkit.core.judgement import JudgeSpec
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.trial import AgentError
from evalkit.judge.budgets import CircuitBreaker
from evalkit.judge.completion import Completion
from evalkit.judge.prices import PriceList
from evalkit.judge.prompt import Message
from evalkit.judge.reply_parser import is_json_object
from evalkit.judge.reply_signals import choose_finish_reason, find_objection, iter_reply_texts
from evalkit.judge.request_format import (
    JSON_MODES,
    JsonMode,
    RequestFormat,
)

SERVER_ERROR = "server_error"
"""The kind of a failure of the server that is neither a refusal nor a temporary condition, as 500."""

UNSURE_STATUSES = (0, 400, 422)
UNSURE_KINDS = ("auth", "not_found")
"""With these statuses, the words of an error are a guess; one plain request confirms these kinds."""

PLAIN_MESSAGES = ({"role": "user", "content": "Reply with the word OK."},)
"""A request with nothing in it that an endpoint could refuse, other than the key and the model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    messages: tuple[Mapping[str, str], ...]
    schema: Json
    vote: int
    is_plain: bool = False
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
        self._confirming = asyncio.Lock()
        self._is_plain_accepted = False

    async def complete(self, messages: Sequence[Message], schema: Json, vote: int) -> Completion:
        """Return a reply, or the error after which no further attempt is allowed or would help."""
        call = _Call(messages=tuple(map(asdict, messages)), schema=schema, vote=vote)
        completion = await self._confirm(await self._ask_or_guess(call))
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
            # Some servers fail (500) in a mode that they do not know: wait for what the other call finds.
            if not _is_wrong_mode(guess) and guess.error_kind != SERVER_ERROR:
                if not guess.error_kind:
                    self._format.settle_mode(JSON_MODES[0])
                return guess
        await self._format.wait_for_mode()
        if self._format.mode is None:
            with self._format.probe_mode():
                # Confirmed before other calls probe the modes, which would be refused as well.
                return await self._confirm(await self._probe_modes(call, guess))
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
        )

    async def _probe_modes(self, call: _Call, guess: Completion | None) -> Completion:
        """Try one mode after the other until a reply is JSON; `guess` is the result of the first mode.

        Try the next mode after a refusal or a reply that is not a JSON object, and once in a run after a
        failure of the server. If no mode gets JSON, use the first one that got any reply. Stop when
        another call's guess was right.
        """
        spent: list[Completion] = []
        refused = answered = None
        for mode in JSON_MODES:
            completion = guess or await self._ask(call, mode)
            guess = None
            spent.append(completion)
            is_failing = completion.error_kind == SERVER_ERROR and not self._format.is_walked
            if not _is_wrong_mode(completion) and not is_failing:
                if not completion.error_kind:
                    self._format.settle_mode(mode)
                return completion.with_usage(*spent)
            if completion.error_kind:
                refused = refused or completion
            else:
                answered = answered or (mode, completion)
            if self._format.mode:
                break
        self._format.is_walked = True
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
            async with self._lane.permit(
                call.key, self._estimate.estimate(call.characters)
            ) as permit:
                self._raise_if_down()  # again: other calls may have tripped it meanwhile
                # Now, because the mode may have been found while this call waited.
                body = self._build_body(call, mode)
                try:
                    reply = await self._client.complete(call.messages, body, timeout_s)
                except ChatRequestError as failed:
                    if not call.is_plain and self._format.drop_refused_parameter(failed, body):
                        permit.record(None)
                        return None
                    error = permit.record(self._classify_error(failed))
                    return _Attempt(completion=Completion(), error=error)
                completion = _to_completion(reply, self._prices)
                permit.record(
                    None, self._estimate.add(completion.input_tokens, completion.output_tokens)
                )
        except NoPermit as refused:
            self._raise_if_down()
            return _Attempt(completion=Completion(), error=refused.error, was_sent=False)
        return _Attempt(completion=completion)

    def _build_body(self, call: _Call, mode: JsonMode) -> Mapping[str, Json]:
        if call.is_plain:
            return self._format.build_plain_body()
        return self._format.build_body(self._format.mode or mode, call.schema, call.vote)

    def _raise_if_down(self) -> None:
        if self._breaker.trip_reason:
            raise _JudgeDown

    def _classify_error(self, failed: ChatRequestError) -> AgentError:
        """Return the error of a failed request; trip the breaker if all later requests would fail too."""
        error = failed.error
        # A refused body may be about this request only, so `_confirm` asks once more.
        if error.is_user_fixable and failed.status not in UNSURE_STATUSES:
            self._breaker.trip(error.message, self._describe_user_fix(error))
        elif error.kind == "no_credit":
            self._breaker.trip(error.message)
        if error.kind == "http_status" and error.retryable and not error.transient:
            error = replace(error, kind=SERVER_ERROR)
        # A judge has its own deadline for each attempt, so a late reply may come in time the next time.
        return replace(error, retryable=error.retryable or error.kind == "timeout")

    async def _confirm(self, completion: Completion) -> Completion:
        """Find out by one plain request whether the endpoint refuses this judge, or only this request.

        Proxies answer a wrong key and an unknown model with 400, as they do a refused parameter.
        """
        is_refused = completion.error_kind in UNSURE_KINDS or (
            completion.error_kind == "bad_request" and self._format.mode is None
        )
        async with self._confirming:
            if not is_refused or self._is_plain_accepted or self._breaker.trip_reason:
                return completion
            call = _Call(messages=PLAIN_MESSAGES, schema=None, vote=0, is_plain=True)
            try:
                plain = await self._send(call, JSON_MODES[0], self._spec.timeout_s)
            except _JudgeDown:
                return completion
            if plain is None or not plain.was_sent:
                return completion
            error = plain.error
            if error is None:
                self._is_plain_accepted = True
            elif error.is_user_fixable or error.kind == "bad_request":
                self._breaker.trip(error.message, self._describe_user_fix(error))
            return completion.with_usage(completion, replace(plain.completion, calls=1))

    def _describe_user_fix(self, error: AgentError) -> Problem:
        variable = self._client.key_variable
        remedy = {
            "redirect": "",
            "auth": f" Set {variable} to a key that it accepts.",
            "not_found": " Fix 'model' or 'base_url'.",
        }.get(error.kind, f" Fix 'model' or 'base_url'; the key is the one in {variable}.")
        where = Location(path=self._spec.path, line=self._spec.line) if self._spec.path else None
        return Problem(message=f"judge {self._spec.kind}: {error.message}{remedy}", where=where)


def _to_completion(reply: ChatCompletion, prices: PriceList) -> Completion:
    """Return a reply as a Completion; join several choices or tool calls to a text that is no valid reply."""
    tokens = count_tokens(reply.usage)
    objection = find_objection(reply)
    return Completion(
        text="\n".join(iter_reply_texts(reply)),
        finish_reason=choose_finish_reason(reply),
        refusal=next(filter(None, (choice.refusal for choice in reply.choices)), ""),
        model=reply.model,
        fingerprint=reply.fingerprint,
        input_tokens=tokens.input_tokens,
        output_tokens=tokens.output_tokens,
        cached_tokens=tokens.cached_tokens,
        cost_usd=prices.compute_cost_usd(tokens, reply.model),
        objection_kind=objection.kind if objection else "",
        objection=objection.sentence if objection else "",
    )


def _is_wrong_mode(completion: Completion) -> bool:
    """Return whether an endpoint refused the mode, or sent a whole reply that is not JSON."""
    if completion.error_kind:
        return completion.error_kind == "bad_request"
    return completion.is_whole and not is_json_object(completion.text)
