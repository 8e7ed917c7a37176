"""Run one trial of a case, with one or more turns, and return one Output."""

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
    """Call the agent for every user turn that no scripted assistant turn answers.

    Later calls get the agent's earlier replies, and the session that it has issued. An error ends the
    conversation and becomes the error of the whole output; earlier calls still count in latency, usage,
    cost and tool calls. `timeout_s` applies to each call.
    """
    outputs: list[Output] = []
    messages: list[Turn] = []
    agent_turns = find_agent_turns(case)
    for index, turn in enumerate(list_turns(case)):
        messages.append(turn)
        if index not in agent_turns:
            continue
        request = Request(
            case_id=case.id,
            trial=trial,
            text=turn.content,
            messages=tuple(messages),
            metadata=case.metadata,
            timeout_s=timeout_s,
            seed=seed,
            is_conversation=not isinstance(case.input, str),
            session=outputs[-1].session if outputs else None,
        )
        outputs.append(await agent.answer(request))
        # The next user turn assumes an answer.
        if outputs[-1].error is not None:
            break
        messages.append(Turn(role="assistant", content=outputs[-1].text))
    return join_outputs(outputs)


def list_turns(case: Case) -> tuple[Turn, ...]:
    """Return the turns of a case's input; plain text is one user turn."""
    if isinstance(case.input, str):
        return (Turn(role="user", content=case.input),)
    return case.input


def find_agent_turns(case: Case) -> tuple[int, ...]:
    """Return the indexes of the turns that the agent answers."""
    turns = list_turns(case)
    # A case whose turns are all invalid has none; its problems are reported, and so are the agent's.
    return tuple(
        index
        for index, (turn, follower) in enumerate(itertools.zip_longest(turns, turns[1:]))
        if turn.role == "user" and (follower is None or follower.role != "assistant")
    )


def join_outputs(outputs: Sequence[Output]) -> Output:
    """Combine the outputs of a conversation: the last answer and error, and the totals of all outputs.

    The time to the first token is the longest of all turns.
    """
    last = outputs[-1]
    if len(outputs) == 1:
        return last
    usages = [output.usage for output in outputs if output.usage is not None]
    costs = [output.cost_usd for output in outputs if output.cost_usd is not None]
    first_tokens = [output.first_token_s for output in outputs if output.first_token_s is not None]
    starts = itertools.accumulate((output.latency_s for output in outputs), initial=0.0)
    return replace(
        last,
        tool_calls=tuple(call for output in outputs for call in output.tool_calls),
        usage=Usage(
            input_tokens=sum(usage.input_tokens for usage in usages),
            output_tokens=sum(usage.output_tokens for usage in usages),
        )
        if usages
        else None,
        cost_usd=sum(costs) if costs else None,
        latency_s=sum(output.latency_s for output in outputs),
        first_token_s=max(first_tokens, default=None),
        replies=tuple(output.text for output in outputs if output.error is None),
        flags=tuple(dict.fromkeys(flag for output in outputs for flag in output.flags)),
        spans=tuple(
            replace(span, start_s=start_s + span.start_s)
            # Not strict: `starts` also has the end of the last output.
            for output, start_s in zip(outputs, starts, strict=False)
            for span in output.spans
        ),
    )
