"""A rubric file, or the criteria of one case, turned from nodes into a Rubric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from evalkit.digest import digest
from evalkit.loading.nodes import Broken, ListNode, MappingNode, Node, Scalar, is_null, quote
from evalkit.loading.reading import Fields, open_fields, suggest
from evalkit.loading.specs import only_given, read_args, read_entries
from evalkit.loading.yamlio import parse_yaml
from evalkit.records import Location, Problem
from evalkit.rubric import (
    YES_OR_NO,
    CalibrationWish,
    Check,
    Control,
    Criterion,
    Example,
    Level,
    Need,
    Rubric,
)
from evalkit.sources import Unreadable, read_file, shown_path

RUBRIC_KEYS = (
    "rubric",
    "description",
    "needs",
    "higher_is_better",
    "pass_at",
    "criteria",
    "controls",
    "anchors",
    "require_calibration",
)
CRITERION_KEYS = ("name", "question", "levels", "weight", "examples", "check")
LEVEL_KEYS = ("name", "value", "description")
EXAMPLE_KEYS = ("answer", "level", "input", "reference", "explanation")
CONTROL_KEYS = ("name", "answer", "input", "reference", "context")
CONTROLS_KEYS = ("good", "bad")
CALIBRATION_KEYS = ("kappa", "labels")

NEEDS: tuple[Need, ...] = ("reference", "context")
MOST_CRITERIA = 20
"""Of one rubric: they are all asked in one call, and a longer list is answered carelessly."""
MOST_LEVELS = 10


def load_rubric(path: Path) -> tuple[Rubric | None, list[Problem]]:
    """Read a rubric file, and everything that is wrong with it; None when there is no rubric in it."""
    problems: list[Problem] = []
    where = Location(path=shown_path(path))
    try:
        node = parse_yaml(read_file(path), where.path, problems)
    except Unreadable as trouble:
        return None, [Problem(message=f"the rubric {trouble}", where=where)]
    if node is None or is_null(node):
        if not problems:
            problems.append(Problem(message="the rubric is empty. Add `criteria:`.", where=where))
        return None, problems
    fields = open_fields(node, "rubric", RUBRIC_KEYS, problems)
    if fields is None:
        return None, problems
    rubric = _read_rubric(fields, path)
    return (None if problems else rubric), problems


def _read_rubric(fields: Fields, path: Path) -> Rubric:
    criteria = read_criteria(fields, "criteria")
    given = {
        "pass_at": fields.number("pass_at", at_least=0),
        "higher_is_better": fields.flag("higher_is_better"),
        "anchors": fields.text("anchors"),
        "require_calibration": _read_calibration(fields),
    }
    rubric = Rubric(
        name=fields.label("rubric") or path.stem,
        path=shown_path(path),
        description=fields.text("description") or "",
        criteria=criteria,
        needs=_read_needs(fields),
        controls=_read_controls(fields),
        **only_given(given),
    )
    _check_pass_mark(fields, rubric)
    _check_needs(fields, rubric)
    return replace(rubric, digest=digest_rubric(rubric))


def digest_rubric(rubric: Rubric) -> str:
    """What tells one rubric from another: what is asked, and how the answers count."""
    criteria = [msgspec.to_builtins(criterion) for criterion in rubric.criteria]
    return digest(
        [criteria, rubric.needs, rubric.pass_at, rubric.higher_is_better, rubric.description]
    )


def _check_pass_mark(fields: Fields, rubric: Rubric) -> None:
    if fields.get("pass_at") is None and not isinstance(fields.node.members.get("pass_at"), Broken):
        fields.complain(
            "pass_at is missing: nothing says from which score on an answer passes. "
            "Add `pass_at: 0.7`."
        )
        return
    top = 1.0 if rubric.higher_is_better else max(0.0, rubric.pass_at)
    if rubric.pass_at > top or rubric.pass_at > 1:
        fields.complain(
            f"pass_at is {rubric.pass_at:g}, and no score is above 1. Write a share such as 0.7.",
            fields.get("pass_at"),
        )
    elif rubric.higher_is_better and rubric.pass_at == 0:
        fields.complain("pass_at is 0: every answer would pass.", fields.get("pass_at"))
    elif not rubric.higher_is_better and rubric.pass_at == 1:
        fields.complain(
            "pass_at is 1: every answer would pass, as less is better.", fields.get("pass_at")
        )


def _check_needs(fields: Fields, rubric: Rubric) -> None:
    """A control of a rubric that needs a reference or context has to come with one."""
    for control in rubric.controls:
        for need in rubric.needs:
            if not getattr(control, need):
                fields.complain(
                    f"control {quote(control.name)} has no {need}, which the rubric needs.",
                    fields.get("controls"),
                )


def _read_needs(fields: Fields) -> tuple[Need, ...]:
    found = []
    for label in fields.labels("needs") or ():
        need = next((need for need in NEEDS if need == label), None)
        if need is None:
            near = suggest(label, NEEDS)
            fields.complain(
                f"needs lists what a case must give, {' or '.join(NEEDS)}, and {quote(label)} is "
                f"neither{near or '.'}",
                fields.get("needs"),
            )
        else:
            found.append(need)
    return tuple(found)


def _read_calibration(fields: Fields) -> CalibrationWish | None:
    node = fields.get("require_calibration")
    if node is None:
        return None
    wish = open_fields(node, "require_calibration", CALIBRATION_KEYS, fields.problems)
    if wish is None:
        return None
    kappa = wish.number("kappa", at_least=0)
    if kappa is not None and kappa > 1:
        wish.complain(f"kappa is at most 1, not {kappa:g}.", wish.get("kappa"))
    labels = wish.integer("labels", at_least=1)
    if kappa is None and labels is None:
        wish.complain("asks for nothing. Write {kappa: 0.6, labels: 60}.")
    return CalibrationWish(**only_given({"kappa": kappa, "labels": labels}))


def read_criteria(fields: Fields, key: str) -> tuple[Criterion, ...]:
    """The criteria under a key: at least one, of different names; a text alone is a question."""
    node = fields.get(key)
    entries = () if node is None else read_entries(key, node, fields.problems)
    if not entries:
        if node is None or (isinstance(node, ListNode) and not node.items):
            fields.complain(f"{key} is empty: nothing would be judged. Add a question.")
        return ()
    if len(entries) > MOST_CRITERIA:
        fields.complain(
            f"{len(entries)} criteria; at most {MOST_CRITERIA} are judged at a time. Split them.",
            entries[MOST_CRITERIA].where,
        )
        return ()
    criteria: dict[str, Criterion] = {}
    for number, item in enumerate(entries, start=1):
        criterion = _read_criterion(item, number, fields)
        if criterion is None:
            continue
        if criterion.name in criteria:
            fields.complain(
                f"a second criterion is called {quote(criterion.name)}. Give it another name.", item
            )
        criteria.setdefault(criterion.name, criterion)
    if criteria and not any(criterion.weight for criterion in criteria.values()):
        fields.complain("all weights are 0: nothing would count.", node)
    return tuple(criteria.values())


def _read_criterion(node: Node, number: int, above: Fields) -> Criterion | None:
    if isinstance(node, Scalar) and not is_null(node):
        return Criterion(name=f"criterion_{number}", question=node.text)
    fields = open_fields(node, f"{above.owner}: criterion", CRITERION_KEYS, above.problems)
    if fields is None:
        return None
    name = fields.label("name") or f"criterion_{number}"
    fields = replace(fields, owner=f"{above.owner}: criterion {quote(name)}")
    levels = _read_levels(fields)
    given = {
        "question": fields.text("question"),
        "weight": fields.number("weight", at_least=0),
        "check": _read_check(fields),
    }
    criterion = Criterion(
        name=name,
        levels=levels,
        examples=_read_examples(fields, levels),
        **only_given(given),
    )
    if criterion.check is None and not criterion.question.strip():
        fields.complain("question is missing. Ask what the judge is to decide, or add `check:`.")
    if criterion.check is not None:
        for key in ("question", "levels", "examples"):
            if key in fields.node.members:
                fields.complain(
                    f"{key} is for a judge, and a check needs none. Remove one of them."
                )
    return criterion


def _read_levels(fields: Fields) -> tuple[Level, ...]:
    entries = fields.items("levels")
    if entries is None:
        return YES_OR_NO
    levels: dict[str, Level] = {}
    for item in entries[: MOST_LEVELS + 1]:
        level = open_fields(item, f"{fields.owner}: level", LEVEL_KEYS, fields.problems)
        if level is None:
            continue
        name, value = level.label("name"), level.number("value", at_least=0)
        if name is None or value is None:
            for key in ("name", "value"):
                if key not in level.node.members:
                    level.complain(f"{key} is missing. Write {{name: good, value: 1}}.")
            continue
        if value > 1:
            level.complain(f"value is a share in 0..1, not {value:g}.", level.get("value"))
        if name in levels:
            level.complain(f"a second level is called {quote(name)}.", item)
        levels[name] = Level(name=name, value=value, description=level.text("description") or "")
    if len(entries) > MOST_LEVELS:
        fields.complain(f"{len(entries)} levels; at most {MOST_LEVELS} can be told apart.")
    elif len(entries) < 2 or (levels and len({level.value for level in levels.values()}) < 2):
        fields.complain(
            "levels must be two or more of different value; with one, every answer gets it.",
            fields.get("levels"),
        )
    return tuple(levels.values()) or YES_OR_NO


def _read_examples(fields: Fields, levels: Sequence[Level]) -> tuple[Example, ...]:
    examples = []
    names = [level.name for level in levels]
    for item in fields.items("examples") or ():
        example = open_fields(item, f"{fields.owner}: example", EXAMPLE_KEYS, fields.problems)
        if example is None:
            continue
        answer, level = example.required_text("answer"), example.required_text("level")
        if level is not None and level not in names:
            near = suggest(level, names) or f". Levels: {', '.join(names)}."
            example.complain(f"no level is called {quote(level)}{near}", example.get("level"))
        given = {key: example.text(key) for key in ("input", "reference", "explanation")}
        if answer is not None and level is not None:
            examples.append(Example(answer=answer, level=level, **only_given(given)))
    return tuple(examples)


def _read_check(fields: Fields) -> Check | None:
    node = fields.get("check")
    if isinstance(node, Scalar):
        return Check(ref=node.text)
    if isinstance(node, MappingNode) and len(node.members) == 1:
        ((ref, member),) = node.members.items()
        return Check(ref=ref, args=read_args(member.node))
    if node is not None:
        fields.complain("check is one built-in metric, as in {contains: [30 days]}.", node)
    return None


def _read_controls(fields: Fields) -> tuple[Control, ...]:
    node = fields.get("controls")
    if node is None:
        return ()
    sides = open_fields(node, "controls", CONTROLS_KEYS, fields.problems)
    if sides is None:
        return ()
    found = []
    for side in CONTROLS_KEYS:
        entries = sides.items(side) or ()
        if not entries:
            sides.complain(
                f"{side} has no answer. A judge is checked by at least one good and one bad answer."
            )
        for number, item in enumerate(entries, start=1):
            control = open_fields(item, f"control ({side})", CONTROL_KEYS, fields.problems)
            answer = control.required_text("answer") if control is not None else None
            if control is None or answer is None:
                continue
            given = {key: control.text(key) for key in ("input", "reference", "context")}
            name = control.label("name") or f"{side}-{number}"
            found.append(
                Control(name=name, passes=side == "good", answer=answer, **only_given(given))
            )
    return tuple(found)
