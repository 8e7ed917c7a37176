"""Read and write the calibration file of a rubric: how well judges agree with people under it.

A calibration can allow a judge to fail builds, so the file is not trusted: every statistic in it must
follow from its table of counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from evalkit.core.calibration import Agreement, Calibration, Estimate, find_unmet_requirement
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.rubric import Rubric
from evalkit.core.serialization import parse_stored_json, to_json_value
from evalkit.core.source_files import UnreadableFile, display_path, read_file

CALIBRATION_SCHEMA = "evalkit.calibration/v1"
MAX_CALIBRATION_BYTES = 4 << 20
STORED_DIGITS = 4
"""Digits of stored statistics. Further digits change with the version of numpy."""

_ROW = re.compile(r"\[\s+\d+(?:,\s+\d+)*\s+\]")
_SLACK = 0.00006
"""Difference allowed between a stored and a computed statistic: the rounding error."""


def find_calibration_path(rubric: Path) -> Path:
    """Return the path `helpfulness.calibration.json` next to a rubric `helpfulness.yaml`."""
    return rubric.with_name(f"{rubric.stem}.calibration.json")


def format_calibrations(calibrations: Iterable[Calibration]) -> str:
    """Format the file: one entry per judge, sorted; equal calibrations give equal bytes."""
    by_judge = {each.judge_digest: each for each in calibrations}
    entries = sorted(by_judge.values(), key=lambda each: (each.judge, each.judge_digest))
    document = {"schema": CALIBRATION_SCHEMA, "calibrations": _round_floats(to_json_value(entries))}
    text = json.dumps(document, sort_keys=True, indent=2, allow_nan=False)
    # One line per row of counts keeps the table readable and its changes reviewable.
    return _ROW.sub(lambda row: " ".join(row[0].split()), text) + "\n"


def _round_floats(value: Json) -> Json:
    if isinstance(value, float):
        return round(value, STORED_DIGITS)
    if isinstance(value, list):
        return [_round_floats(item) for item in value]
    if isinstance(value, dict):
        return {key: _round_floats(item) for key, item in value.items()}
    return value


def load_calibrations(path: Path) -> tuple[tuple[Calibration, ...], list[Problem]]:
    """Read a calibration file and find what is wrong with it; nothing if there is no file."""
    where = Location(path=display_path(path))
    if not path.exists():
        return (), []
    try:
        document = parse_stored_json(read_file(path, MAX_CALIBRATION_BYTES))
        if not isinstance(document, dict) or set(document) != {"schema", "calibrations"}:
            raise ValueError("it is not an object with `schema` and `calibrations`")
        if document["schema"] != CALIBRATION_SCHEMA:
            raise ValueError(
                f"its schema is {document['schema']!r}; this evalkit reads {CALIBRATION_SCHEMA!r}"
            )
        # msgspec ignores unknown fields, so the result is converted back and compared.
        found = msgspec.convert(document["calibrations"], tuple[Calibration, ...], strict=True)
        if to_json_value(found) != document["calibrations"]:
            raise ValueError("it has unknown fields")
        _check_entries(found)
    except (UnreadableFile, ValueError, KeyError, TypeError) as error:
        message = (
            f"the calibration file is invalid: {str(error).rstrip('.')}. Restore it, or remove it and "
            "calibrate again: evalkit calibrate RUBRIC LABELS"
        )
        return (), [Problem(message=message, where=where)]
    return found, []


def _check_entries(found: Sequence[Calibration]) -> None:
    digests = [each.judge_digest for each in found]
    if len(set(digests)) < len(digests):
        raise ValueError("it has two calibrations of one judge")
    for entry in found:
        for criterion in entry.criteria:
            raters = (*criterion.people, *criterion.jurors)
            compared = [criterion.agreement, *(each.agreement for each in raters)]
            for agreement in filter(None, compared):
                _check_agreement(agreement, f"{entry.judge}, {criterion.criterion}")


def _check_agreement(agreement: Agreement, what: str) -> None:
    size = len(agreement.levels)
    rows = agreement.confusion
    if size < 2 or len(rows) != size or any(len(row) != size for row in rows):
        raise ValueError(f"{what}: its table is not {size} by {size} levels")
    if any(count < 0 for row in rows for count in row) or not agreement.answers:
        raise ValueError(f"{what}: its table has no counts")
    statistics = zip(
        ("accuracy", "ac1", "kappa"),
        (agreement.accuracy, agreement.ac1, agreement.kappa),
        _compute_agreement(rows),
        strict=True,
    )
    for name, stored, computed in statistics:
        if not _is_estimate_of(stored, computed):
            raise ValueError(f"{what}: its {name} does not follow from its table")


def _compute_agreement(rows: Sequence[Sequence[int]]) -> tuple[float, float, float | None]:
    """Return accuracy, Gwet's AC1, and Cohen's kappa of one table; kappa is None for a single level.

    This is plain Python because every run with a rubric calls it, and importing numpy takes longer.
    `evalkit.stats.agreement` computes them for thousands of tables at once.
    """
    total = sum(map(sum, rows))
    first = [sum(row) / total for row in rows]
    second = [sum(column) / total for column in zip(*rows, strict=True)]
    observed = sum(row[index] for index, row in enumerate(rows)) / total
    by_chance = sum(a * b for a, b in zip(first, second, strict=True))
    used = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    by_gwet = sum(share * (1 - share) for share in used) / (len(rows) - 1)
    kappa = (observed - by_chance) / (1 - by_chance) if by_chance < 1 else None
    return observed, (observed - by_gwet) / (1 - by_gwet), kappa


def _is_estimate_of(stored: Estimate | None, computed: float | None) -> bool:
    if stored is None or computed is None:
        return stored is None and computed is None
    # An interval need not contain its estimate exactly, because all three are rounded.
    is_equal = abs(stored.value - computed) <= _SLACK
    return is_equal and stored.low - _SLACK <= stored.value <= stored.high + _SLACK


def explain_advisory(rubric: Rubric, judge_digest: str, calibrations: Sequence[Calibration]) -> str:
    """Return why a rubric may not fail a build with this judge; empty if it may."""
    required = rubric.require_calibration
    if required is None or not rubric.judged_criteria:
        return ""
    requirement = (
        f"the rubric requires a judge calibrated to kappa {required.kappa:g} on "
        f"{required.labels} labels"
    )
    entry = next((each for each in calibrations if each.judge_digest == judge_digest), None)
    if entry is None:
        return f"{requirement}, but this judge has not been calibrated"
    # The digest covers the questions and levels, so an edit of either invalidates the calibration.
    if entry.rubric_digest != rubric.digest:
        return f"{requirement}, but it was calibrated before the rubric was edited"
    criteria = {criterion.name: criterion.levels for criterion in rubric.judged_criteria}
    levels = {
        found.criterion: found.agreement.levels
        for found in entry.criteria
        if found.agreement is not None
    }
    if levels.keys() != criteria.keys() or any(
        levels[name] != tuple(level.name for level in criteria[name]) for name in criteria
    ):
        return f"{requirement}, but its calibration leaves out a criterion or a level"
    unmet = find_unmet_requirement(entry, required.kappa, required.labels)
    return f"{requirement}, but {unmet}" if unmet else ""
