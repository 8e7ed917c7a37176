"""One trial of one case, of one turn or many, held with an agent: a case in, a single Output out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from evalkit.agents.registry import Agent
from evalkit.core.eval_set import Case, Turn
from evalkit.core.spans import Usage
from evalkit.core.trial import Output, Request


async def converse(
    agent: Agent, case: Case, *, trial: int, timeout_s: float, seed: int = 0
) -> Output:
    """Ask the agent at every user turn that no scripted assistant turn answers.

    Later calls see the agent's earlier replies. An error ends the conversation and is that of the
    whole; what came before it still counts in latency, usage, cost and tool calls. `timeout_s` is
    each call's own.
    """
    turns = list_turns(case)
    outputs: list[Output] = []
    said: list[Turn] = []
    to_answer = set(find_agent_turns(case))
    for index, turn in enumerate(turns):
        said.append(turn)
        if index not in to_answer:
            continue
        request = Request(
            case_id=case.id,
            trial=trial,
            text=turn.content,
            messages=tuple(said),
            metadata=case.metadata,
            timeout_s=timeout_s,
            seed=seed,
            is_conversation=not isinstance(case.input, str),
        )
        outputs.append(await agent.answer(request))
        if outputs[-1].error is not None:
            break
        said.append(Turn(role="assistant", content=outputs[-1].text))
    return join_outputs(outputs)


def list_turns(case: Case) -> tuple[Turn, ...]:
    """The turns of a case's input; plain text is one turn of the user's."""
    if isinstance(case.input, str):
        return (Turn(role="user", content=case.input),)
    return case.input


def find_agent_turns(case: Case) -> tuple[int, ...]:
    """The indexes of the turns that the agent is asked to answer."""
    turns = list_turns(case)
    followers = [*(turn.role for turn in turns[1:]), None]
    return tuple(
        index
        for index, (turn, follower) in enumerate(zip(turns, followers, strict=True))
        if turn.role == "user" and follower != "assistant"
    )


def join_outputs(outputs: Sequence[Output]) -> Output:
    """Add up the outputs of one conversation; its answer and its error are the last one's."""
    last = outputs[-1]
    if len(outputs) == 1:
        return last
    usages = [output.usage for output in outputs if output.usage is not None]
    costs = [output.cost_usd for output in outputs if output.cost_usd is not None]
    starts = itertools.accumulate((output.latency_s for output in outputs), initial=0.0)
    return replace(
        last,
        tool_calls=tuple(call for output in outputs for call in output.tool_calls),
        usage=_add_usages(usages) if usages else None,
        cost_usd=sum(costs) if costs else None,
        latency_s=sum(output.latency_s for output in outputs),
        replies=tuple(output.text for output in outputs if output.error is None),
        flags=tuple(dict.fromkeys(flag for output in outputs for flag in output.flags)),
        spans=tuple(
            replace(span, start_s=start_s + span.start_s)
            for output, start_s in zip(outputs, starts, strict=False)
            for span in output.spans
        ),
    )


def _add_usages(usages: Sequence[Usage]) -> Usage:
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
    )
