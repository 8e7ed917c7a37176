"""Translate the keys of other eval tools, and those that newcomers guess, into those of evalkit."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache

from evalkit.evalset.nodes import ListNode, MappingNode, Member, Scalar, suggest_similar
from evalkit.evalset.value_types import Keys, Labels, Section, SectionList, ValueType

_WORDS = {
    # an eval set
    "evalset": "name title suite eval_name",
    "cases": "tests test test_cases examples samples dataset data questions items goldens tasks "
    "scenarios eval_cases",
    "agent": "provider providers target targets bot app application solver function system",
    "judge": "judges judge_model",
    "metrics": "assert asserts assertion assertions scorer scorers evaluator evaluators grader graders "
    "checks evals scoring",
    "gate": "threshold thresholds limits gates pass_criteria",
    "trials": "repeat repeats epochs runs num_trials n_trials",
    "concurrency": "workers max_concurrency parallel parallelism jobs",
    "max_cost_usd": "budget max_cost cost_limit budget_usd",
    # a case
    "id": "name case_id test_id eval_id key title",
    "input": "vars question prompt query inputs user_input messages turns user request conversation",
    "expected": "expect answer reference ideal target expected_output expected_outcome output outputs "
    "ground_truth label gold solution expected_answer reference_answer reference_output",
    "tags": "labels categories splits",
    "cluster": "group",
    "criteria": "rubrics requirements",
    # an agent
    "python": "callable entrypoint path file module function py",
    "command": "cmd exec shell script",
    "http": "url uri endpoint api",
    "recorded": "replay recording outputs",
    "timeout_s": "timeout",
    "attempts": "retries max_retries retry",
    "env": "environment envs",
    # a threshold
    "metric": "name metric_name assertion",
    "min": "threshold minimum at_least gte ge pass_at min_score",
    "max": "maximum at_most lte le max_value",
    "max_drop": "tolerance max_decrease max_regression",
    "max_rise": "max_increase",
    "stat": "aggregate aggregation statistic",
}
"""Each key of evalkit with the words that other tools and newcomers use for it."""

_MODEL_WORDS = [
    "model",
    "models",
    "prompt",
    "prompts",
    "system_prompt",
    "instructions",
    "temperature",
]
_NOTES = (
    ("cases", _MODEL_WORDS, "It belongs to the agent, as in `agent: {openai: {model: ...}}`."),
    ("python", _MODEL_WORDS, "It belongs to a kind of agent, as in `openai: {model: ...}`."),
    ("lexical", _MODEL_WORDS, "It belongs to a kind of judge, as in `openai: {model: ...}`."),
    ("python", ("type", "kind", "provider"), "Write the kind as the key, as in `python: ...`."),
    ("lexical", ("type", "kind", "provider"), "Write the kind as the key, as in `openai: ...`."),
    (
        "cases",
        ("version",),
        "Remove it: an eval set has no version. That of the agent is `agent: {version: ...}`.",
    ),
    ("input", ("description", "notes", "comment"), "Write it under `metadata`, or as a comment."),
    (
        "input",
        ("weight", "weights"),
        "Remove it: all cases count alike. Thresholds select by `tag`.",
    ),
)
"""Words that have no key of their own: a key of the mapping in which they are wrong, the words, and advice."""

_SURE = 0.75
"""How similar a key must be to a known one to be read as it."""


def explain_key(key: str, known: Collection[str]) -> str:
    """Return the end of a sentence that says what to write instead of an unknown key; empty if unclear."""
    return _explain(key, tuple(known))


@lru_cache(maxsize=256)  # every case of a file may repeat a key
def _explain(key: str, known: tuple[str, ...]) -> str:
    meant = _translate(key, known)
    if meant:
        return f"; did you mean {meant!r}?"
    word = _normalize(key)
    for place, words, advice in _NOTES:
        if place in known and word in words:
            return f". {advice}"
    return suggest_similar(key, known)


def guess_key(key: str, known: Collection[str]) -> str:
    """Return the known key that an unknown one surely means; empty if there is none."""
    return _guess(key, tuple(known))


@lru_cache(maxsize=256)
def _guess(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key[:200].casefold(), known, n=1, cutoff=_SURE)
    return _translate(key, known) or (near[0] if near else "")


def rename_keys(node: MappingNode, unknown: Sequence[str], known: Keys) -> MappingNode:
    """Return a mapping with each misnamed value also under its right name, so that nothing misses it.

    A single value is a list where the key takes one: `metric: contains` means `metrics: [contains]`.
    """
    meant = {ours: key for key in reversed(unknown) if (ours := guess_key(key, known))}
    if not meant:
        return node
    renamed = {ours: _to_list(node.members[key], known[ours]) for ours, key in meant.items()}
    return replace(node, members={**renamed, **node.members})


def _to_list(member: Member, kind: ValueType) -> Member:
    takes_list = isinstance(kind, Labels | SectionList) or (
        isinstance(kind, Section) and kind.of in ("metrics", "own_metrics", "criteria")
    )
    if not takes_list or not isinstance(member.node, Scalar):
        return member
    return Member(member.where, ListNode(items=(member.node,), where=member.node.where))


def _normalize(key: str) -> str:
    """Return a key in snake case: `expectedOutput` and `expected-output` are one word."""
    spaced = "".join(f"_{char}" if char.isupper() else char for char in key[:200])
    return spaced.replace("-", "_").replace(" ", "_").strip("_").casefold()


def _translate(key: str, known: Collection[str]) -> str:
    word = _normalize(key)
    return next((ours for ours in known if word in _WORDS.get(ours, "").split()), "")
