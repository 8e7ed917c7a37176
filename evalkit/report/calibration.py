"""Render the calibration of a judge as terminal text and as JSON: agreement, confusion, examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.core.calibration import Agreement, Calibration, CriterionCalibration, Estimate
from evalkit.core.format import format_count
from evalkit.core.labels import HumanLabel
from evalkit.report.content import NO_VALUE, value_cell
from evalkit.report.documents import render_record
from evalkit.report.judge_calls import describe_cached, describe_calls
from evalkit.report.screen import Screen, align_columns, heading, join_sections

MAX_DISAGREEMENTS = 5
"""How many disagreements the terminal shows; the JSON has all of them."""

_MAX_TEXT_CHARS = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreement:
    """An answer with different levels from judge and people, and the distance of the levels."""

    label: HumanLabel
    people: str
    judge: str
    distance: float
    evidence: str = ""
    explanation: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationResult:
    """The calibration of a judge.

    `answers` labeled answers were used, each counted once. `disagreements` are sorted by distance.
    `unmet` is the requirement of the rubric that the judge misses, empty if there is none. `path` is
    where the calibration is stored. `missing` counts answers without a verdict by reason, `passed_by`
    the labels of other rubrics in the file. `cached_verdicts` on answers are from an interrupted
    calibration; all others are new.
    """

    calibration: Calibration
    answers: int
    disagreements: tuple[Disagreement, ...]
    path: str
    unmet: str = ""
    missing: Mapping[str, int] = field(default_factory=dict)
    passed_by: Mapping[str, int] = field(default_factory=dict)
    cached_verdicts: int = 0
    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    notes: tuple[str, ...] = ()


def calibration_text(found: CalibrationResult, screen: Screen) -> str:
    """Render a calibration for a terminal."""
    calibration = found.calibration
    return join_sections(
        [
            _summary_lines(found, screen),
            *(_criterion_lines(criterion, screen) for criterion in calibration.criteria),
            _disagreements(found.disagreements, screen),
            _closing_lines(found, screen),
        ]
    )


def calibration_json(found: CalibrationResult) -> str:
    """Render a calibration as an `evalkit.calibrated/v1` document."""
    return render_record("evalkit.calibrated/v1", found)


def _summary_lines(found: CalibrationResult, screen: Screen) -> list[str]:
    calibration = found.calibration
    raters = f" by {', '.join(calibration.raters)}" if calibration.raters else ""
    lines = [f"{format_count(found.answers, 'answer')} labeled{raters} in {calibration.source}"]
    if calibration.models:
        lines.append(f"answering as {' and '.join(calibration.models)}")
    kept = (
        [f"{describe_cached(found.cached_verdicts, found.answers)} of an interrupted calibration"]
        if found.cached_verdicts
        else []
    )
    if found.calls or kept:
        lines.append(", ".join((*describe_calls(found), *kept)))
    for rubric, count in found.passed_by.items():
        lines.append(f"{format_count(count, 'label')} of {rubric} left out")
    for reason, count in found.missing.items():
        lines.append(f"{format_count(count, 'answer')} without a verdict: {reason}")
    return [
        heading(f"{calibration.judge} under {calibration.rubric}, against people", screen),
        *screen.fold_all(lines, indent="  ", hang="    "),
    ]


def _criterion_lines(found: CriterionCalibration, screen: Screen) -> list[str]:
    lines = [heading(f"Criterion {found.criterion}", screen)]
    agreement = found.agreement
    if agreement is None:
        return lines + screen.fold("no answer has a level from both people and judge", indent="  ")
    rows = [
        ("kappa", *_estimate_texts(agreement.kappa), "agreement beyond chance (Cohen)"),
        ("weighted kappa", *_estimate_texts(agreement.weighted_kappa), "by distance of levels"),
        ("AC1", *_estimate_texts(agreement.ac1), "agreement beyond chance (Gwet)"),
        ("accuracy", *_percents(agreement.accuracy), _constant_text(agreement)),
    ]
    if len(agreement.levels) <= 2:
        # Two levels have one distance, so the weighted kappa equals the plain one.
        del rows[1]
    lines += align_columns(
        rows,
        screen,
        titles=("", "value", "90% interval", ""),
        shrinkable={3: 20},
        right=(1,),
    )
    lines += screen.fold_all(_remarks(found), indent="  ", hang="    ")
    return [*lines, "", *_confusion(agreement, screen), *_rater_lines(found, screen)]


def _estimate_texts(estimate: Estimate | None) -> tuple[str, str]:
    if estimate is None:
        return NO_VALUE, "one level throughout"
    return f"{estimate.value:.2f}", f"{estimate.low:.2f} to {estimate.high:.2f}"


def _percents(estimate: Estimate) -> tuple[str, str]:
    low, high = (value_cell(bound, "") for bound in (estimate.low, estimate.high))
    return value_cell(estimate.value, ""), f"{low} to {high}"


def _constant_text(agreement: Agreement) -> str:
    # A judge that ignores the answer can reach this accuracy.
    level, share = agreement.best_constant_level
    return f"answering {level} to all would reach {value_cell(share, '')}"


def _remarks(found: CriterionCalibration) -> Iterator[str]:
    if found.flip_rate is not None:
        yield (
            f"flips: two judgments of one answer differ in {value_cell(found.flip_rate, '')} of pairs"
        )
    if found.divided:
        yield f"{format_count(found.divided, 'answer')} left out, because people are evenly divided"
    if found.unjudged:
        yield f"{format_count(found.unjudged, 'answer')} left out, because there is no verdict"


def _confusion(agreement: Agreement, screen: Screen) -> list[str]:
    """Return a table with people's levels as rows and the judge's as columns, and base rates."""
    rows = [
        (
            f"people: {level}",
            *(f"{count:,}" for count in counts),
            value_cell(rate, ""),
        )
        for level, counts, rate in zip(
            agreement.levels, agreement.confusion, agreement.base_rates, strict=True
        )
    ]
    size = len(agreement.levels)
    titles = ("", *(f"judge: {level}" for level in agreement.levels), "base rate")
    return align_columns(rows, screen, titles=titles, shrinkable={0: 12}, right=range(1, size + 2))


def _rater_lines(found: CriterionCalibration, screen: Screen) -> list[str]:
    if not found.people:
        return []
    rows = [
        (
            each.rater or "(unnamed)",
            ("the others' majority" if each.is_against_majority else each.other),
            *_estimate_texts(each.agreement.kappa),
            f"{each.agreement.ac1.value:.2f}",
            value_cell(each.agreement.accuracy.value, ""),
            f"{each.agreement.answers:,}",
        )
        for each in found.people
    ]
    titles = ("people", "and", "kappa", "90% interval", "AC1", "accuracy", "answers")
    return [
        "",
        *align_columns(
            rows,
            screen,
            titles=titles,
            shrinkable={1: 8, 0: 8},
            right=(2, 4, 5, 6),
        ),
    ]


def _disagreements(found: Sequence[Disagreement], screen: Screen) -> list[str]:
    if not found:
        return []
    shown = found[:MAX_DISAGREEMENTS]
    of = "" if len(shown) == len(found) else f", the worst {len(shown)}"
    lines = [heading(f"{format_count(len(found), 'disagreement')}{of}", screen)]
    for number, each in enumerate(shown, start=1):
        label = each.label
        place = f" (case {label.case})" if label.case else ""
        title = f"{number}. {label.criterion}: people {each.people}, judge {each.judge}{place}"
        lines += ["", *screen.fold(title, hang="   ")]
        parts = (
            ("input", label.input),
            ("reference", label.reference),
            ("answer", label.answer or "(empty)"),
            ("judge's evidence", each.evidence),
            ("judge's explanation", each.explanation),
            (f"note of {label.rater or 'a person'}", label.note),
        )
        for name, text in parts:
            if text:
                lines += screen.fold(name, indent="  ")
                lines += screen.quote(text, limit=_MAX_TEXT_CHARS)
    return lines


def _closing_lines(found: CalibrationResult, screen: Screen) -> list[str]:
    sentences = [*found.notes]
    if found.unmet:
        sentences.append(
            f"Not calibrated: {found.unmet}. Thresholds on this rubric stay advisory with this judge."
        )
    sentences.append(
        f"Stored in {found.path}: review and commit it. It is valid for this rubric and judge only."
    )
    return screen.fold_all(sentences, hang="  ")
