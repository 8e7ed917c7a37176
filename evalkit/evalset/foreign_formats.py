"""Recognize the files of other eval tools, and say how their keys are called in evalkit."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from evalkit.core.location import Location, Problem
from evalkit.evalset.nodes import ListNode, MappingNode, Node

_ADVICE = "See evalkit help evalset."
"""How every message about another tool's file ends."""

_LISTS = ("cases", "tests", "examples", "data", "eval_cases", "tasks")
"""Keys under which tools list their cases."""


_OWN_KEYS = {"evalset", "agent", "metrics", "gate"}
"""Keys of an eval set that no other tool has at the top."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _ForeignFormat:
    """A format of another tool: sets of keys of which a mapping has all, and what to write for them.

    `example` is a case as evalkit has it.
    """

    name: str
    signatures: tuple[str, ...]
    keys: Mapping[str, str]
    example: str = ""


_FORMATS = (
    _ForeignFormat(
        name="promptfoo",
        signatures=(
            "prompts providers",
            "prompts tests",
            "prompts targets",
            "providers tests",
            "tests defaultTest",
            "vars",
            "assert",
        ),
        keys={
            "prompts providers": "agent",
            "tests": "cases",
            "vars": "input",
            "assert": "metrics",
        },
        example="{id: returns, input: How long may I return it?, expected: 30 days, "
        "metrics: [{contains: {all: true}}]}",
    ),
    _ForeignFormat(
        name="DeepEval",
        signatures=(
            "input expected_output",
            "input actual_output",
            "input retrieval_context",
            "input expected_tools",
            "input tools_called",
            "input expectedOutput actualOutput",
            "scenario expected_outcome",
            "scenario turns",
        ),
        keys={
            "name": "id",
            "expected_output": "expected",
            "expected_tools": "expected: {tool_calls: ...}",
            "context": "metadata: {context: ...}",
        },
    ),
    _ForeignFormat(
        name="OpenAI Evals",
        signatures=(
            "input ideal",
            "data_source_config testing_criteria",
            "datasource_item",
            "item grades",
            "class args",
        ),
        keys={
            "samples_jsonl": "cases",
            "item": "input",
            "ideal": "expected",
            "class testing_criteria": "metrics",
        },
    ),
    _ForeignFormat(
        name="ADK",
        signatures=(
            "eval_set_id",
            "eval_cases",
            "eval_id",
            "evalSetId",
            "evalCases",
            "evalId",
            "query expected_tool_use",
            "query reference",
            "name data initial_session",
        ),
        keys={
            "eval_cases": "cases",
            "eval_id": "id",
            "user_content query": "input",
            "final_response reference": "expected",
            "tool_uses": "expected: {tool_calls: ...}",
        },
    ),
    _ForeignFormat(
        name="LangSmith",
        signatures=("dataset examples", "inputs outputs"),
        keys={"examples": "cases", "inputs": "input", "outputs": "expected", "split": "tags"},
    ),
    _ForeignFormat(
        name="MLflow",
        signatures=("inputs expectations",),
        keys={"inputs": "input", "expectations": "expected", "guidelines": "criteria"},
    ),
    _ForeignFormat(
        name="pydantic-evals",
        signatures=(
            "cases evaluators",
            "inputs expected_output",
            "inputs evaluators",
            "name inputs",
        ),
        keys={
            "name": "id",
            "inputs": "input",
            "expected_output": "expected",
            "evaluators": "metrics",
        },
    ),
    _ForeignFormat(
        name="Inspect",
        signatures=("input target",),
        keys={"target": "expected"},
    ),
    _ForeignFormat(
        name="Ragas",
        signatures=("user_input reference", "user_input response", "user_input retrieved_contexts"),
        keys={"user_input": "input", "reference": "expected"},
    ),
    _ForeignFormat(
        name="Azure AI evaluation",
        signatures=("query response", "query ground_truth"),
        keys={"query": "input", "ground_truth": "expected"},
    ),
    _ForeignFormat(
        name="Langfuse",
        signatures=("datasetId expectedOutput", "datasetName expectedOutput"),
        keys={"expectedOutput": "expected"},
    ),
)


def find_foreign_file(data: bytes, where: Location) -> Problem | None:
    """Return what a file is by its extension, if that is not of an eval set; None if it may be one."""
    suffix = PurePath(where.path).suffix.lower()
    if suffix == ".jsonl":
        return _describe_file_of_cases(_read_first_object(data), where)
    if suffix in (".csv", ".tsv", ".parquet"):
        return _describe_file_of_cases((), where)
    if suffix == ".py":
        return Problem(
            message="this is Python code, not an eval set. Name a YAML file whose agent it is, as in "
            f"`agent: {{python: ./{PurePath(where.path).name}:FUNCTION}}`.",
            where=where,
        )
    return None


def find_foreign_set(node: Node | None, where: Location) -> Problem | None:
    """Return which other tool a YAML or JSON file is of, or that it only lists cases; None if neither."""
    if isinstance(node, MappingNode) and "rubric" in node.members:
        name = PurePath(where.path).name
        message = f"this is a rubric, not an eval set. Name it in a set, as in `metrics: [{{rubric: {name}}}]`."
        return Problem(message=message, where=where)
    keys = _first_keys(node)
    if isinstance(node, ListNode) or _recognize(keys) is not None:
        return _describe_file_of_cases(keys, where)
    if not isinstance(node, MappingNode):
        return None
    if _OWN_KEYS & node.members.keys():
        return None
    for key, member in node.members.items():
        # The registry of OpenAI Evals has an entry for each name; other tools list their cases.
        item = _first_item(member.node) if key in _LISTS else member.node
        if isinstance(item, MappingNode) and (key in _LISTS or "class" in item.members):
            found = _recognize(item.members)
            # An entry with `class` in a set may be a part for aliases.
            if found is not None and (key in _LISTS or "cases" not in node.members):
                return _describe(found, item.members, where)
    return None


def find_foreign_case(node: Node) -> Problem | None:
    """Return which other tool a case is of; None if it may be a case of evalkit."""
    if not isinstance(node, MappingNode):
        return None
    found = _recognize(node.members)
    return None if found is None else _describe(found, node.members, node.where)


def _first_item(node: Node) -> Node | None:
    return node.items[0] if isinstance(node, ListNode) and node.items else None


def _first_keys(node: Node | None) -> Collection[str]:
    item = _first_item(node) if isinstance(node, ListNode) else node
    return tuple(item.members) if isinstance(item, MappingNode) else ()


def _read_first_object(data: bytes) -> Collection[str]:
    """Return the keys of the first line of a JSONL file."""
    first = data.split(b"\n", 1)[0]
    try:
        found = json.loads(first)
    except ValueError:
        return ()
    return tuple(found) if isinstance(found, dict) else ()


def _recognize(keys: Collection[str]) -> _ForeignFormat | None:
    names = set(keys)
    is_own_case = "id" in names and bool({"input", "expected"} & names)
    is_own_set = "cases" in names and bool(_OWN_KEYS & names)
    if is_own_case or is_own_set:
        return None
    return next(
        (
            each
            for each in _FORMATS
            if any(names.issuperset(signature.split()) for signature in each.signatures)
        ),
        None,
    )


def _describe(found: _ForeignFormat, keys: Collection[str], where: Location) -> Problem:
    named = ", ".join(repr(key) for key in list(keys)[:4])
    pairs = ", ".join(
        f"{' and '.join(f'`{key}`' for key in words.split())} -> `{ours}`"
        for words, ours in found.keys.items()
    )
    case = f" A case: `- {found.example}`." if found.example else ""
    message = (
        f"this is in the format of {found.name} (keys {named}). Rewrite {pairs}.{case} {_ADVICE}"
    )
    return Problem(message=message, where=where)


def _describe_file_of_cases(keys: Collection[str], where: Location) -> Problem:
    found = _recognize(keys)
    if found is not None:
        return _describe(found, keys, where)
    name = PurePath(where.path).name
    message = (
        f"this is a list of cases, not an eval set. Name it in a set, as in `cases: {name}`, "
        f"with an agent beside it. {_ADVICE}"
    )
    return Problem(message=message, where=where)
