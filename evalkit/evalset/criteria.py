"""The criteria of a rubric file or of one case, turned from nodes into records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalkit.core.rubric import YES_OR_NO, Criterion, CriterionCheck, Example, Level
from evalkit.evalset.fields import FieldReader, read_mapping, suggest_similar
from evalkit.evalset.nodes import (
    InvalidNode,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    is_null,
    quote_short,
)
from evalkit.evalset.sections import drop_none, read_args, read_entries

CRITERION_KEYS = ("name", "question", "levels", "otherwise", "weight", "examples", "check")
LEVEL_KEYS = ("name", "value", "description")
EXAMPLE_KEYS = ("answer", "level", "input", "reference", "context", "explanation")
JUDGE_ONLY_KEYS = ("question", "levels", "otherwise", "examples")
"""Keys of a criterion that mean nothing beside a check."""

MAX_CRITERIA = 20
"""Of one rubric: they are all asked in one call, and a longer list is answered carelessly."""
MAX_LEVELS = 10
MAX_EXAMPLES = 50
MAX_WEIGHT = 1000.0
"""Weights are proportions; what is more is a slip of the keyboard."""


def read_criteria(fields: FieldReader, key: str) -> tuple[Criterion, ...]:
    """The criteria under a key: at least one, of different names; a text alone is a question."""
    member = fields.node.members.get(key)
    node = fields.get(key)
    entries = () if node is None else read_entries(key, node, fields.problems)
    if not entries:
        is_told = member is not None and isinstance(member.node, InvalidNode)
        if not is_told and (node is None or isinstance(node, ListNode)):
            fields.report_problem(f"{key} is empty: nothing would be judged. Add a question.", node)
        return ()
    if len(entries) > MAX_CRITERIA:
        fields.report_problem(
            f"{len(entries)} criteria; at most {MAX_CRITERIA} are judged at a time. Split them.",
            entries[MAX_CRITERIA].where,
        )
        return ()
    criteria: dict[str, Criterion] = {}
    for number, item in enumerate(entries, start=1):
        criterion = _read_criterion(item, number, fields)
        if criterion is None:
            continue
        first = criteria.setdefault(criterion.name.casefold(), criterion)
        if first is not criterion:
            fields.report_problem(
                f"a second criterion is called {quote_short(criterion.name)}. Give it another name.",
                item,
            )
    if criteria and not any(criterion.weight for criterion in criteria.values()):
        fields.report_problem("all weights are 0: nothing would count.", node)
    return tuple(criteria.values())


def _read_criterion(node: Node, number: int, above: FieldReader) -> Criterion | None:
    default_name = f"criterion_{number}"
    if isinstance(node, Scalar) and not is_null(node):
        if not node.text.strip():
            above.report_problem(
                f"criterion {quote_short(default_name)} is empty. Ask something.", node
            )
            return None
        return Criterion(name=default_name, question=node.text)
    fields = read_mapping(node, f"{above.owner}: criterion", CRITERION_KEYS, above.problems)
    if fields is None:
        return None
    name = fields.label("name") or default_name
    fields = replace(fields, owner=f"{above.owner}: criterion {quote_short(name)}")
    if "check" in fields.node.members:
        return _read_checked_criterion(name, fields)
    question = fields.text("question")
    if question is None or not question.strip():
        member = fields.node.members.get("question")
        if member is None or is_null(member.node) or question is not None:
            fields.report_problem(
                "question is missing. Ask what the judge is to decide, or add `check:`."
            )
    levels = _read_levels(fields)
    given = {
        "question": question,
        "weight": _read_weight(fields),
        "otherwise": _read_level_name(fields, "otherwise", levels),
    }
    examples = _read_examples(fields, levels)
    return Criterion(name=name, levels=levels, examples=examples, **drop_none(given))


def _read_checked_criterion(name: str, fields: FieldReader) -> Criterion:
    """A criterion that a metric decides, so that whatever is for a judge has no place in it."""
    for key in JUDGE_ONLY_KEYS:
        if key in fields.node.members:
            fields.report_problem(
                f"{key} is for a judge, and a check needs none. Remove one of them.",
                fields.node.members[key].where,
            )
    given = {"weight": _read_weight(fields), "check": _read_check(fields)}
    return Criterion(name=name, **drop_none(given))


def _read_check(fields: FieldReader) -> CriterionCheck | None:
    member = fields.node.members["check"]
    node = member.node
    if isinstance(node, Scalar) and not is_null(node):
        return CriterionCheck(ref=node.text, line=node.where.line)
    if isinstance(node, MappingNode) and len(node.members) == 1:
        ((ref, argument),) = node.members.items()
        return CriterionCheck(ref=ref, args=read_args(argument.node), line=node.where.line)
    if not isinstance(node, InvalidNode):
        fields.report_problem(
            "check is one built-in metric, as in {contains: {any: [30 days]}}.", member.where
        )
    return None


def _read_weight(fields: FieldReader) -> float | None:
    weight = fields.number("weight", at_least=0)
    if weight is not None and weight > MAX_WEIGHT:
        fields.report_problem(
            f"weight must be at most {MAX_WEIGHT:g}, not {weight:g}. Weights are proportions.",
            fields.get("weight"),
        )
        return None
    return weight


def _read_level_name(fields: FieldReader, key: str, levels: Sequence[Level]) -> str | None:
    """The name of a level, which must be one that is offered."""
    name = fields.text(key)
    names = [level.name for level in levels]
    if name is None or name in names:
        return name
    near = suggest_similar(name, names) or f". Levels: {', '.join(names)}."
    fields.report_problem(f"no level is called {quote_short(name)}{near}", fields.get(key))
    return None


def _read_levels(fields: FieldReader) -> tuple[Level, ...]:
    entries = fields.items("levels")
    if entries is None:
        return YES_OR_NO
    known_problems = len(fields.problems)
    if len(entries) > MAX_LEVELS:
        fields.report_problem(
            f"{len(entries)} levels; at most {MAX_LEVELS} can be told apart.",
            entries[MAX_LEVELS].where,
        )
    levels: dict[str, Level] = {}
    for item in entries[:MAX_LEVELS]:
        level = _read_level(item, fields)
        if level is None:
            continue
        if levels.setdefault(level.name.casefold(), level) is not level:
            fields.report_problem(f"a second level is called {quote_short(level.name)}.", item)
    is_sound = len(fields.problems) == known_problems
    if is_sound and len({level.value for level in levels.values()}) < 2:
        fields.report_problem(
            "levels must be two or more of different value; else every answer counts the same.",
            fields.get("levels"),
        )
    return tuple(levels.values()) or YES_OR_NO


def _read_level(item: Node, above: FieldReader) -> Level | None:
    if isinstance(item, Scalar):
        above.report_problem(
            f"a level is a name and what it counts, as in {{name: {item.text or 'good'}, value: 1}}.",
            item,
        )
        return None
    level = read_mapping(item, f"{above.owner}: level", LEVEL_KEYS, above.problems)
    if level is None:
        return None
    name, value = level.label("name"), level.number("value", at_least=0)
    for key in ("name", "value"):
        member = level.node.members.get(key)
        if member is None or is_null(member.node):
            level.report_problem(f"{key} is missing. Write {{name: good, value: 1}}.")
    if value is not None and value > 1:
        percent = f" For {value:g} percent write {value / 100:g}." if value <= 100 else ""
        level.report_problem(
            f"value is a share in 0..1, not {value:g}.{percent}", level.get("value")
        )
    if name is None:
        return None
    # A level without its value is reported, and its name is known all the same.
    return Level(name=name, value=value or 0.0, description=level.text("description") or "")


def _read_examples(fields: FieldReader, levels: Sequence[Level]) -> tuple[Example, ...]:
    entries = fields.items("examples") or ()
    if len(entries) > MAX_EXAMPLES:
        fields.report_problem(
            f"{len(entries)} examples; at most {MAX_EXAMPLES} are shown to a judge.",
            entries[MAX_EXAMPLES].where,
        )
    examples: dict[tuple[str, ...], Example] = {}
    for item in entries[:MAX_EXAMPLES]:
        example = _read_example(item, fields, levels)
        if example is None:
            continue
        told = (example.answer, example.input, example.reference, example.context)
        first = examples.setdefault(told, example)
        if first is not example:
            says = "again" if first.level == example.level else f"as {quote_short(first.level)} too"
            fields.report_problem(f"an example labels the same answer {says}. Keep one.", item)
    return tuple(examples.values())


def _read_example(item: Node, above: FieldReader, levels: Sequence[Level]) -> Example | None:
    example = read_mapping(item, f"{above.owner}: example", EXAMPLE_KEYS, above.problems)
    if example is None:
        return None
    answer = example.required_text("answer")
    if example.required_text("level") is None:
        return None
    level = _read_level_name(example, "level", levels)
    given = {key: example.text(key) for key in EXAMPLE_KEYS[2:]}
    if answer is None or level is None:
        return None
    return Example(answer=answer, level=level, **drop_none(given))
