"""Read people's labels of answers from YAML or CSV, and check them against the rubrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.core.labels import HumanLabel
from evalkit.core.location import Location, Problem
from evalkit.core.rubric import Rubric
from evalkit.core.safe_text import unescape_csv_formula
from evalkit.core.source_files import UnreadableFile, display_path, read_file
from evalkit.evalset.csv_table import CsvRow, read_csv_table
from evalkit.evalset.fields import FieldReader, read_mapping
from evalkit.evalset.nodes import (
    MAX_PROBLEMS,
    InvalidNode,
    ListNode,
    MappingNode,
    Member,
    Node,
    Scalar,
    is_null,
    quote_short,
    suggest_similar,
)
from evalkit.evalset.value_types import Columns, Keys, Label, Labels, SectionList, Text
from evalkit.evalset.yaml import parse_yaml

LABEL_KEYS: Keys = {
    "rubric": Label(),
    "case": Label(),
    "input": Text(),
    "reference": Text(),
    "context": Text(),
    "answer": Text(),
    "criterion": Label(),
    "level": Text(),
    "rater": Label(),
    "note": Text(),
    "drawn": Labels(),
}
"""The keys of a label, in the order in which they are written; also the columns of a CSV file."""

_FILE_KEYS: Keys = {"labels": SectionList(of="label")}

HELP_COLUMNS = ("question", "levels")
"""Columns of a CSV file for the person who fills it in. They are ignored when it is read."""

COLUMNS = Columns(known=(*LABEL_KEYS, *HELP_COLUMNS), required=("answer", "level"))

RUN_SEPARATOR = ";"
"""Separates the runs in a cell of the column `drawn`."""


def load_labels(
    path: Path, rubrics: Sequence[Rubric]
) -> tuple[tuple[HumanLabel, ...], list[Problem]]:
    """Read a labels file and find everything wrong with it.

    A label names its rubric and criterion; either may be left out if only one of `rubrics` fits.
    Labels of rubrics that are not in `rubrics` are kept unchanged.
    """
    placed, problems = load_labels_with_locations(path, rubrics)
    return tuple(label for label, _ in placed), problems


def load_labels_with_locations(
    path: Path, rubrics: Sequence[Rubric], *, is_worksheet: bool = False
) -> tuple[tuple[tuple[HumanLabel, Location], ...], list[Problem]]:
    """Load labels with their locations; rows of a worksheet may have no level yet."""
    problems: list[Problem] = []
    shown = display_path(path)
    try:
        data = read_file(path)
    except UnreadableFile as error:
        where = Location(path=shown)
        return (), [Problem(message=f"the labels file {error}", where=where)]
    read = _read_csv if path.suffix.lower() == ".csv" else _read_yaml
    first: dict[tuple[str, str, str], Location] = {}
    labels = []
    for node in read(data, shown, problems):
        # A worksheet may be partly filled in; a labels file may not.
        if is_worksheet and isinstance(node, MappingNode) and "level" not in node.members:
            continue
        label = _read_label(node, rubrics, problems)
        if label is None:
            continue
        if _is_new(label, node.where, first, problems):
            labels.append((label, node.where))
        if len(problems) >= MAX_PROBLEMS:
            problems.append(
                Problem(message="too many problems; the rest was not read.", where=node.where)
            )
            break
    if not labels and not problems:
        where = Location(path=shown)
        advice = "Fill in the column `level`." if read is _read_csv else "Add `labels:`."
        problems.append(Problem(message=f"the file contains no label. {advice}", where=where))
    return tuple(labels), problems


def _read_yaml(data: bytes, path: str, problems: list[Problem]) -> Iterator[Node]:
    node = parse_yaml(data, path, problems)
    if node is None or is_null(node):
        return
    fields = read_mapping(node, "labels file", _FILE_KEYS, problems)
    yield from (fields.items("labels") if fields else None) or ()


def _read_csv(data: bytes, path: str, problems: list[Problem]) -> Iterator[Node]:
    for row in read_csv_table(data, path, problems, COLUMNS):
        yield _row_node(row) if isinstance(row, CsvRow) else row


def _row_node(row: CsvRow) -> MappingNode:
    # People can label an empty answer, and CSV can only write it as an empty cell.
    cells = {"answer": "", **row.cells}
    members = {
        column: Member(
            row.where, Scalar(kind="text", text=unescape_csv_formula(cell), where=row.where)
        )
        for column, cell in cells.items()
        if column not in HELP_COLUMNS
    }
    if "drawn" in members:
        runs = tuple(
            Scalar(kind="text", text=unescape_csv_formula(run.strip()), where=row.where)
            for run in cells["drawn"].split(RUN_SEPARATOR)
        )
        members["drawn"] = Member(row.where, ListNode(items=runs, where=row.where))
    return MappingNode(members=members, where=row.where)


def _read_label(
    node: Node, rubrics: Sequence[Rubric], problems: list[Problem]
) -> HumanLabel | None:
    if isinstance(node, InvalidNode):
        return None
    known = len(problems)
    fields = read_mapping(node, "label", LABEL_KEYS, problems)
    if fields is None:
        return None
    answer, level = fields.required_text("answer"), fields.required_text("level")
    given = {"criterion": "", **fields.read_all("answer", "level")}
    if answer is None or level is None or len(problems) > known:
        return None
    label = _resolve_rubric(HumanLabel(answer=answer, level=level, **given), rubrics, fields)
    return None if len(problems) > known else label


def _resolve_rubric(
    label: HumanLabel, rubrics: Sequence[Rubric], fields: FieldReader
) -> HumanLabel:
    """Return the label with its rubric and criterion filled in; report what the rubric lacks."""
    names = [rubric.name for rubric in rubrics]
    if label.rubric and label.rubric not in names:
        # A label of another rubric is kept, but a similar name is more likely a typo.
        near = suggest_similar(label.rubric, names)
        if near:
            fields.report_problem(
                f"no rubric {quote_short(label.rubric)}{near}", fields.get("rubric")
            )
        return label
    candidates = [each for each in rubrics if label.rubric in ("", each.name)]
    if not label.rubric and len(candidates) > 1:
        candidates = [each for each in candidates if _find_levels(each, label.criterion)]
    if len(candidates) != 1:
        if rubrics:
            fields.report_problem(f"rubric is missing. Name one of {', '.join(names)}.")
        return label
    return _check_level(replace(label, rubric=candidates[0].name), candidates[0], fields)


def _check_level(label: HumanLabel, rubric: Rubric, fields: FieldReader) -> HumanLabel:
    criteria = [criterion.name for criterion in rubric.judged_criteria]
    if not label.criterion and len(criteria) == 1:
        label = replace(label, criterion=criteria[0])
    if not label.criterion:
        fields.report_problem(f"criterion is missing. Name one of {', '.join(criteria)}.")
        return label
    levels = _find_levels(rubric, label.criterion)
    if not levels:
        near = suggest_similar(label.criterion, criteria) or f". Judged: {', '.join(criteria)}."
        fields.report_problem(
            f"rubric {quote_short(rubric.name)} has no judged criterion {quote_short(label.criterion)}{near}",
            fields.get("criterion"),
        )
    elif label.level not in levels:
        near = suggest_similar(label.level, levels) or f". Levels: {', '.join(levels)}."
        fields.report_problem(
            f"criterion {quote_short(label.criterion)} has no level {quote_short(label.level)}{near}",
            fields.get("level"),
        )
    return label


def _find_levels(rubric: Rubric, criterion: str) -> tuple[str, ...]:
    found = next((each for each in rubric.judged_criteria if each.name == criterion), None)
    return tuple(level.name for level in found.levels) if found else ()


def _is_new(
    label: HumanLabel,
    where: Location,
    first: dict[tuple[str, str, str], Location],
    problems: list[Problem],
) -> bool:
    """Return whether a label is the first by its rater; a second would count as another person's."""
    earlier = first.setdefault((label.id, label.rater, label.case), where)
    if earlier is where:
        return True
    by = f" by {quote_short(label.rater)}" if label.rater else ""
    message = (
        f"a second label{by} of this answer; the first is in line {earlier.line}. Keep one, or give "
        "each person a `rater:`."
    )
    problems.append(Problem(message=message, where=where))
    return False
