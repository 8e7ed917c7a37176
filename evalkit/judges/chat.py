"""A chat model asked within a run's budget: attempts, patience, money, and how many calls at once."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace

from evalkit.agents.openai_client import ChatClient, Endpoint, Trouble
from evalkit.agents.retries import choose_wait
from evalkit.judgement import JudgeSpec
from evalkit.judges.budget import Fuse, Patience, Purse
from evalkit.judges.dialect import MODES, REFUSED, Dialect, Mode, said_in
from evalkit.judges.envelope import read_envelope
from evalkit.judges.limiter import Limiter
from evalkit.judges.prices import PriceList
from evalkit.judging.asking import Completion
from evalkit.judging.prompt import Message
from evalkit.judging.replies import holds_object, is_too_long_for_model
from evalkit.records import AgentError, Json, Location, Problem
from evalkit.spelling import count_of
from evalkit.text import one_line

LONGEST_SAID = 300

_OVERLOADED = (429, 503, 529)
_PASSING = (408, 409)
"""Statuses below 500 that a second attempt may not meet; so the openai client has it."""

_TO_MEND = ("auth", "not_found", "redirect")
_BAD_KEY = re.compile(r"invalid_api_key|api key not valid|incorrect api key", re.IGNORECASE)
_FILTERED = re.compile(r"content_filter|content management policy", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What a judge has for the length of a run, shared by all its calls."""

    client: ChatClient
    dialect: Dialect
    limiter: Limiter
    patience: Patience
    fuse: Fuse
    purse: Purse
    prices: PriceList


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    messages: tuple[Mapping[str, str], ...]
    schema: Json
    vote: int


class _Down(Exception):
    """The fuse blew while a call waited for room."""


class OpenaiChat:
    """Asks one model at one endpoint.

    The first question finds out in which mode the endpoint gives JSON. Those that come meanwhile are asked
    in the likeliest one, and once more in the right one where that was wrong.
    """

    def __init__(
        self, spec: JudgeSpec, endpoint: Endpoint, means: Means, rng: random.Random
    ) -> None:
        self._spec = spec
        self._server = endpoint.server
        self._key_name = endpoint.key_name
        self._means = means
        self._rng = rng

    async def complete(self, messages: Sequence[Message], schema: Json, vote: int) -> Completion:
        """Ask until there is a reply, or the budget is spent, or asking again cannot help."""
        call = _Call(messages=tuple(map(asdict, messages)), schema=schema, vote=vote)
        completion = await self._ask_in_turn(call)
        if not completion.error_kind:
            self._means.fuse.answered()
        elif completion.error_kind not in ("context_length", "judge_down"):
            self._means.fuse.lost(completion.error)
        return completion

    async def _ask_in_turn(self, call: _Call) -> Completion:
        """Ask in the mode that is known, or find it out, or guess it while another question does."""
        dialect, guess = self._means.dialect, None
        if self._may_guess():
            dialect.guesses_left -= 1
            guess = await self._ask(call, MODES[0])
            if not _is_of_wrong_mode(guess):
                if not guess.error_kind:
                    dialect.settle(MODES[0])
                return guess
        await dialect.await_turn()
        return await self._ask_at_turn(call, guess)

    def _may_guess(self) -> bool:
        means = self._means
        is_open = means.dialect.mode is None and means.dialect.is_sought
        return (
            is_open
            and means.dialect.guesses_left > 0
            and means.limiter.has_room
            and not means.purse.is_limited
        )

    async def _ask_at_turn(self, call: _Call, guess: Completion | None) -> Completion:
        """Ask in the mode that is known, or find it out; a guess that was right is not made again."""
        dialect = self._means.dialect
        if dialect.mode is None:
            with dialect.seeking():
                return await self._find_mode(call, guess)
        if guess is None:
            return await self._ask(call, dialect.mode)
        if dialect.mode == MODES[0]:
            return guess
        return _add_up(guess, await self._ask(call, dialect.mode))

    async def _find_mode(self, call: _Call, guess: Completion | None) -> Completion:
        """Ask in one mode after the other until one gets JSON; a guess is what the first came to.

        A mode that is refused, or answered by something that is no JSON object, is followed by the next.
        Where none gets JSON, the first one that got any answer stays. It ends once a guess of another
        question was right.
        """
        dialect = self._means.dialect
        spent = Completion(calls=0)
        refused = answered = None
        for mode in MODES:
            completion = guess or await self._ask(call, mode)
            guess = None
            spent = _add_up(spent, completion)
            if not _is_of_wrong_mode(completion):
                if not completion.error_kind:
                    dialect.settle(mode)
                return spent
            if completion.error_kind:
                refused = refused or completion
            else:
                answered = answered or (mode, completion)
            if dialect.mode:
                break
        if answered:
            dialect.settle(answered[0])
            return _with_costs(answered[1], spent)
        return _with_costs(refused or spent, spent)

    async def _ask(self, call: _Call, mode: Mode) -> Completion:
        """Ask in a mode, or in the one that has been found since; a parameter that is refused is left out.

        Leaving one out costs no attempt.
        """
        means, spent, attempt = self._means, Completion(calls=0), 0
        timeout_s = self._spec.timeout_s
        with ExitStack() as stack:
            while not means.fuse.blown:
                body = means.dialect.body(means.dialect.mode or mode, call.schema, call.vote)
                try:
                    return _add_up(spent, await self._exchange(call, body, timeout_s))
                except _Down:
                    break
                except Trouble as trouble:
                    spent = replace(spent, calls=spent.calls + 1)
                    if means.dialect.unlearn(trouble, body):
                        continue
                    error = self._weigh(trouble)
                if error.kind == "content_filter":
                    return replace(spent, finish_reason="content_filter")
                attempt += 1
                if attempt == 1:
                    stack.enter_context(means.patience.trouble())
                wait_s = choose_wait(error, attempt, self._rng)
                end = self._find_end(error, attempt, wait_s)
                if end is not None:
                    return replace(spent, error_kind=error.kind, error=error.message + end)
                await means.fuse.wait(wait_s)
                timeout_s = min(self._spec.timeout_s, max(means.patience.left_s, 0.001))
        return replace(spent, error_kind="judge_down", error=means.fuse.blown)

    async def _exchange(
        self, call: _Call, body: Mapping[str, Json], timeout_s: float
    ) -> Completion:
        """Ask once, when there is room.

        Raises:
            Trouble: there is no completion.
            _Down: nobody is to be asked any more.
        """
        means = self._means
        async with means.limiter.slot() as episode:
            if means.purse.trouble:
                means.fuse.blow(means.purse.trouble)
            if means.fuse.blown:
                raise _Down
            try:
                received, _ = await means.client.post(call.messages, body, timeout_s)
                envelope = read_envelope(received, self._server)
            except Trouble as trouble:
                if trouble.status in _OVERLOADED:
                    means.limiter.was_limited(episode)
                raise
            means.limiter.was_served()
        cost_usd = means.prices.cost_of(envelope.usage, envelope.model)
        means.purse.pay(cost_usd)
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

    def _weigh(self, trouble: Trouble) -> AgentError:
        """What a failed attempt means for this call, and for all others."""
        error, status = trouble.error, trouble.status
        said = one_line(said_in(trouble.body), LONGEST_SAID)
        message = f"{error.message} It said: {said!r}." if said else error.message
        error = replace(error, message=message)
        if is_too_long_for_model(error.detail):
            return replace(error, kind="context_length", retryable=False)
        if status in REFUSED and _FILTERED.search(error.detail):
            return replace(error, kind="content_filter", retryable=False)
        if error.kind in _TO_MEND or (status in REFUSED and _BAD_KEY.search(error.detail)):
            self._means.fuse.blow(message, self._describe_refusal(error))
            return replace(error, retryable=False)
        if status == 402 or (status == 429 and not error.retryable):
            self._means.fuse.blow(message)
            return replace(error, kind="no_credit", retryable=False)
        if status in REFUSED:
            return replace(error, kind="bad_request", retryable=False)
        passing = error.kind == "timeout" or status in _PASSING or (status > 501)
        return replace(error, retryable=error.retryable or passing)

    def _describe_refusal(self, error: AgentError) -> Problem:
        remedy = {
            "redirect": "",
            "not_found": f" Mend 'model' or 'base_url'; the key is the one in {self._key_name}.",
        }.get(error.kind, f" Set {self._key_name} to a key that it takes.")
        where = Location(path=self._spec.path, line=self._spec.line) if self._spec.path else None
        return Problem(message=f"judge openai: {error.message}{remedy}", where=where)

    def _find_end(self, error: AgentError, attempt: int, wait_s: float) -> str | None:
        """Why there is no further attempt; None when there is one."""
        if not error.retryable:
            return ""
        if attempt >= self._spec.attempts:
            return f" Given up after {count_of(attempt, 'attempt')}."
        left_s = self._means.patience.left_s
        if wait_s > left_s:
            return f" Given up: the next attempt is {wait_s:.0f} s away, deadline_s leaves {left_s:.0f} s."
        return None


def _is_of_wrong_mode(completion: Completion) -> bool:
    """Whether an endpoint refused, or did not heed, the mode in which it was asked."""
    if completion.error_kind:
        return completion.error_kind == "bad_request"
    return _is_prose(completion)


def _is_prose(completion: Completion) -> bool:
    """Whether a reply came to its own end and shows no sign of the JSON that was asked for."""
    is_whole = completion.finish_reason not in ("length", "content_filter")
    return is_whole and not completion.refusal and not holds_object(completion.text)


def _add_up(spent: Completion, completion: Completion) -> Completion:
    """A completion that bears what was spent before it, too."""
    costs = [cost for cost in (spent.cost_usd, completion.cost_usd) if cost is not None]
    return replace(
        completion,
        calls=spent.calls + completion.calls,
        input_tokens=spent.input_tokens + completion.input_tokens,
        output_tokens=spent.output_tokens + completion.output_tokens,
        cost_usd=sum(costs) if costs else None,
    )


def _with_costs(completion: Completion, spent: Completion) -> Completion:
    return replace(
        completion,
        calls=spent.calls,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cost_usd=spent.cost_usd,
    )
