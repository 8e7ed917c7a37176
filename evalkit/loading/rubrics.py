"""A rubric file turned into a Rubric, or into everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import msgspec

from evalkit.digest import digest
from evalkit.loading.criteria import read_criteria
from evalkit.loading.nodes import MappingNode, Node, is_null, quote
from evalkit.loading.reading import Fields, open_fields, suggest
from evalkit.loading.specs import only_given
from evalkit.loading.yamlio import parse_yaml
from evalkit.records import Location, Problem
from evalkit.rubric import CalibrationWish, Control, Need, Rubric
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
CONTROL_KEYS = ("name", "answer", "input", "reference", "context")
CONTROLS_KEYS = ("good", "bad")
CALIBRATION_KEYS = ("kappa", "labels")

NEEDS: tuple[Need, ...] = ("reference", "context")
MOST_CONTROLS = 50
"""Of each side: every one is a call in every judged run."""

MAX_RUBRIC_BYTES = 2**20
"""Of one file; a judge reads all of it with every answer."""

OF_RUBRICS = frozenset({"rubric", "criteria", "controls", "pass_at", "needs"})
"""Keys that an eval set does not have."""


def is_rubric(node: Node | None) -> bool:
    """Whether what stands in a file is meant as a rubric, going by its keys."""
    return isinstance(node, MappingNode) and bool(OF_RUBRICS & set(node.members))


def load_rubric(path: Path) -> tuple[Rubric | None, list[Problem]]:
    """Read a rubric file, and everything that is wrong with it; None when anything is."""
    rubric, problems = read_rubric(path)
    return (None if problems else rubric), problems


def read_rubric(path: Path) -> tuple[Rubric | None, list[Problem]]:
    """Read a rubric file as far as it can be read, and everything that is wrong with it."""
    problems: list[Problem] = []
    where = Location(path=shown_path(path))
    try:
        node = parse_yaml(read_file(path, MAX_RUBRIC_BYTES), where.path, problems)
    except Unreadable as trouble:
        return None, [Problem(message=f"the file {trouble}", where=where)]
    if node is None or is_null(node):
        if not problems:
            problems.append(Problem(message="the rubric is empty. Add `criteria:`.", where=where))
        return None, problems
    fields = open_fields(node, "rubric", RUBRIC_KEYS, problems)
    return (_read_rubric(fields, path) if fields else None), problems


def _read_rubric(fields: Fields, path: Path) -> Rubric:
    known_problems = len(fields.problems)
    criteria = read_criteria(fields, "criteria")
    are_sound = len(fields.problems) == known_problems
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
    if given["pass_at"] is not None:
        _check_pass_mark(fields, rubric.pass_at, rubric if are_sound else None)
    elif "pass_at" not in fields.node.members or is_null(fields.node.members["pass_at"].node):
        fields.complain(
            "pass_at is missing: nothing says from which score on an answer passes. "
            "Add `pass_at: 0.7`."
        )
    if rubric.criteria and not rubric.judged and rubric.controls:
        fields.complain(
            "controls check a judge, and every criterion is a check. Remove them.",
            fields.get("controls"),
        )
    _check_references(fields, rubric)
    return replace(rubric, digest=digest_rubric(rubric))


def digest_rubric(rubric: Rubric) -> str:
    """What tells one rubric from another: what is asked, and how the answers count."""
    criteria = [msgspec.to_builtins(criterion) for criterion in rubric.criteria]
    for criterion in criteria:
        # Moving a check to another line changes nothing.
        criterion["check"] = criterion["check"] and {**criterion["check"], "line": 0}
    return digest(
        [criteria, rubric.needs, rubric.pass_at, rubric.higher_is_better, rubric.description]
    )


def _check_pass_mark(fields: Fields, mark: float, rubric: Rubric | None) -> None:
    """A mark that every answer reaches, or none, decides nothing; None where criteria are unsound."""
    trouble = ""
    if mark > 1:
        percent = f"For {mark:g} percent write {mark / 100:g}" if mark <= 100 else "Write 0.7"
        trouble = f"pass_at is a share in 0..1, not {mark:g}. {percent}."
    elif rubric is not None:
        trouble = _find_vain_mark(mark, rubric)
    if trouble:
        fields.complain(trouble, fields.get("pass_at"))


def _find_vain_mark(mark: float, rubric: Rubric) -> str:
    lowest, highest = rubric.reach
    slack = 1e-9
    if rubric.higher_is_better:
        if mark > highest + slack:
            return (
                f"pass_at is {mark:g}, and the best levels come to {highest:g}: nothing could pass."
            )
        if mark <= lowest + slack:
            return f"pass_at is {mark:g}, and the worst levels come to {lowest:g}: everything would pass."
        return ""
    less = f"pass_at is {mark:g}, less is better, and"
    if mark < lowest - slack:
        return f"{less} the lowest levels come to {lowest:g}: nothing could pass."
    if mark >= highest - slack:
        return f"{less} no score is above {highest:g}: everything would pass."
    return ""


def _check_references(fields: Fields, rubric: Rubric) -> None:
    """Controls come with what the rubric needs; nothing comes with what no judge is shown."""
    place = fields.get("controls")
    for control in rubric.controls:
        for need in NEEDS:
            if need in rubric.needs and not getattr(control, need).strip():
                fields.complain(
                    f"control {quote(control.name)} has no {need}, which the rubric needs.", place
                )
            elif need not in rubric.needs and getattr(control, need):
                fields.complain(
                    f"control {quote(control.name)} has a {need}, which no judge is shown. "
                    f"Add `needs: [{need}]`, or remove it.",
                    place,
                )
    for criterion, need in product(rubric.criteria, NEEDS):
        if need not in rubric.needs and any(getattr(each, need) for each in criterion.examples):
            fields.complain(
                f"criterion {quote(criterion.name)}: an example has a {need}, and of an answer no judge "
                f"is shown one. Add `needs: [{need}]`, or remove it.",
                fields.get("criteria"),
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
    if not set(CALIBRATION_KEYS) & set(wish.node.members):
        wish.complain("asks for nothing. Write {kappa: 0.6, labels: 60}.")
    return CalibrationWish(**only_given({"kappa": kappa, "labels": labels}))


def _read_controls(fields: Fields) -> tuple[Control, ...]:
    node = fields.get("controls")
    if node is None:
        return ()
    sides = open_fields(node, "controls", CONTROLS_KEYS, fields.problems)
    if sides is None:
        return ()
    entries = [
        (side, number, item)
        for side in CONTROLS_KEYS
        for number, item in enumerate(_control_items(sides, side), start=1)
    ]
    found: dict[str, Control] = {}
    known: dict[tuple[str, ...], bool] = {}
    for side, number, item in entries:
        control = _read_control(item, side, number, fields)
        if control is None:
            continue
        first = found.setdefault(control.name.casefold(), control)
        if first is not control:
            sides.complain(
                f"a second control is called {quote(control.name)}. Give it another name.", item
            )
        told = (control.answer, control.input, control.reference, control.context)
        if known.setdefault(told, control.passes) != control.passes:
            sides.complain(f"control {quote(control.name)}: the same answer is good and bad.", item)
    return tuple(found.values())


def _control_items(sides: Fields, side: str) -> Iterable[Node]:
    member = sides.node.members.get(side)
    items = sides.items(side)
    if items == () or member is None or is_null(member.node):
        sides.complain(
            f"{side} has no answer. A judge is checked by at least one good and one bad answer."
        )
    items = items or ()
    if len(items) > MOST_CONTROLS:
        sides.complain(
            f"{side} has {len(items)} answers; at most {MOST_CONTROLS} are judged in every run.",
            items[MOST_CONTROLS].where,
        )
    return items[:MOST_CONTROLS]


def _read_control(item: Node, side: str, number: int, fields: Fields) -> Control | None:
    control = open_fields(item, f"control ({side})", CONTROL_KEYS, fields.problems)
    answer = control.required_text("answer") if control is not None else None
    if control is None or answer is None:
        return None
    given = {key: control.text(key) for key in ("input", "reference", "context")}
    name = control.label("name") or f"{side}-{number}"
    return Control(name=name, passes=side == "good", answer=answer, **only_given(given))
