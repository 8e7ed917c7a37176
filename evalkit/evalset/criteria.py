"""Read the criteria of a rubric file or of one case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from evalkit.core.eval_set import MetricSpec
from evalkit.core.rubric import YES_OR_NO, Criterion, CriterionCheck, Example, Level
from evalkit.evalset.fields import (
    FieldReader,
    drop_none,
    read_args,
    read_entries,
    read_mapping,
)
from evalkit.evalset.keys import CRITERIA
from evalkit.evalset.nodes import (
    InvalidNode,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    is_null,
    quote_short,
    suggest_similar,
)
from evalkit.evalset.rubric_keys import (
    CRITERION_KEYS,
    EXAMPLE_KEYS,
    JUDGE_ONLY_KEYS,
    LEVEL_KEYS,
    MAX_CRITERIA,
    MAX_EXAMPLES,
    MAX_LEVELS,
)


def read_case_criteria(fields: FieldReader) -> MetricSpec | None:
    """Read a case's own criteria as a metric that passes when all of them are met."""
    criteria = read_criteria(fields)
    place = fields.get(CRITERIA)
    for criterion in criteria:
        best = max(level.value for level in criterion.levels)
        if criterion.weight and best < 1:
            fields.report_problem(
                f"criterion {quote_short(criterion.name)}: its best level has value {best:g}, but a "
                f"case's own criteria pass only at value 1.",
                place,
            )
    if place is None or not criteria:
        return None
    # The arguments enter the case's digest, which must not change when a check moves to another line.
    plain = (
        replace(each, check=replace(each.check, line=0) if each.check else None)
        for each in criteria
    )
    args = {CRITERIA: [msgspec.to_builtins(criterion) for criterion in plain]}
    return MetricSpec(ref=CRITERIA, name=CRITERIA, args=args, where=place.where)


def read_criteria(fields: FieldReader) -> tuple[Criterion, ...]:
    """Read the criteria: at least one, with distinct names; a text alone is a question."""
    node = fields.get(CRITERIA)
    entries = () if node is None else read_entries(CRITERIA, node, fields.problems)
    if not entries:
        if isinstance(node, ListNode) or (node is None and fields.is_empty(CRITERIA)):
            fields.report_problem(
                f"{CRITERIA} is empty, so nothing is judged. Add a question.", node
            )
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
        if criterion and criteria.setdefault(criterion.name.casefold(), criterion) is not criterion:
            fields.report_problem(
                f"a second criterion is called {quote_short(criterion.name)}. Give it another name.",
                item,
            )
    if criteria and not any(criterion.weight for criterion in criteria.values()):
        fields.report_problem("all weights are 0, so nothing counts.", node)
    return tuple(criteria.values())


def _read_criterion(node: Node, number: int, above: FieldReader) -> Criterion | None:
    default_name = f"criterion_{number}"
    if isinstance(node, Scalar) and not is_null(node):
        if not node.text.strip():
            above.report_problem(
                f"criterion {quote_short(default_name)} is empty. Write a question.", node
            )
            return None
        return Criterion(name=default_name, question=node.text)
    fields = read_mapping(node, f"{above.owner}: criterion", CRITERION_KEYS, above.problems)
    if fields is None:
        return None
    name = fields.label("name") or default_name
    # From here on, messages name the criterion.
    fields = replace(fields, owner=f"{above.owner}: criterion {quote_short(name)}")
    if "check" in fields.node.members:
        return _read_checked_criterion(name, fields)
    question = fields.text("question")
    if fields.is_empty("question") or (question is not None and not question.strip()):
        fields.report_problem("question is missing. Write what the judge decides, or add `check:`.")
    # Levels come first, because `otherwise` and the examples must name one of them.
    levels = _read_levels(fields)
    given = {
        "question": question,
        "weight": fields.read("weight"),
        "otherwise": _read_level_name(fields, "otherwise", levels),
    }
    examples = _read_examples(fields, levels)
    return Criterion(name=name, levels=levels, examples=examples, **drop_none(given))


def _read_checked_criterion(name: str, fields: FieldReader) -> Criterion:
    """Read a criterion that a metric decides; keys for a judge are reported."""
    for key in JUDGE_ONLY_KEYS:
        if key in fields.node.members:
            fields.report_problem(
                f"{key} is for a judge, but a check needs none. Remove one of them.",
                fields.node.members[key].where,
            )
    given = {"weight": fields.read("weight"), "check": _read_check(fields)}
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


def _read_level_name(fields: FieldReader, key: str, levels: Sequence[Level]) -> str | None:
    """Read the name of one of the levels."""
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
            f"{len(entries)} levels; a judge can distinguish at most {MAX_LEVELS}.",
            entries[MAX_LEVELS].where,
        )
    levels: dict[str, Level] = {}
    for item in entries[:MAX_LEVELS]:
        level = _read_level(item, fields)
        if level and levels.setdefault(level.name.casefold(), level) is not level:
            fields.report_problem(f"a second level is called {quote_short(level.name)}.", item)
    is_sound = len(fields.problems) == known_problems
    if is_sound and len({level.value for level in levels.values()}) < 2:
        fields.report_problem(
            "levels must have two or more different values; otherwise every answer counts the same.",
            fields.get("levels"),
        )
    return tuple(levels.values()) or YES_OR_NO


def _read_level(item: Node, above: FieldReader) -> Level | None:
    if isinstance(item, Scalar):
        above.report_problem(
            f"a level is a name and a value, as in {{name: {item.text or 'good'}, value: 1}}.", item
        )
        return None
    level = read_mapping(item, f"{above.owner}: level", LEVEL_KEYS, above.problems)
    if level is None:
        return None
    for key in ("name", "value"):
        if level.is_empty(key):
            level.report_problem(f"{key} is missing. Write {{name: good, value: 1}}.")
    given = level.read_all()
    # A level with a wrong value is reported; its name must still be known to examples.
    return Level(**{"value": 0.0, **given}) if "name" in given else None


def _read_examples(fields: FieldReader, levels: Sequence[Level]) -> tuple[Example, ...]:
    entries = fields.items("examples") or ()
    if len(entries) > MAX_EXAMPLES:
        fields.report_problem(
            f"{len(entries)} examples; a judge is shown at most {MAX_EXAMPLES}.",
            entries[MAX_EXAMPLES].where,
        )
    examples: dict[tuple[str, ...], Example] = {}
    for item in entries[:MAX_EXAMPLES]:
        example = _read_example(item, fields, levels)
        if example is None:
            continue
        content = (example.answer, example.input, example.reference, example.context)
        first = examples.setdefault(content, example)
        if first is not example:
            how = "again" if first.level == example.level else f"as {quote_short(first.level)} too"
            fields.report_problem(f"an example labels the same answer {how}. Keep one.", item)
    return tuple(examples.values())


def _read_example(item: Node, above: FieldReader, levels: Sequence[Level]) -> Example | None:
    example = read_mapping(item, f"{above.owner}: example", EXAMPLE_KEYS, above.problems)
    if example is None:
        return None
    answer = example.required_text("answer")
    if example.required_text("level") is None:
        return None
    level = _read_level_name(example, "level", levels)
    if answer is None or level is None:
        return None
    return Example(answer=answer, level=level, **example.read_all("answer", "level"))
