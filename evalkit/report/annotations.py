"""Find what to annotate in the files of a set: edits of the gate, failed thresholds, broken cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from evalkit.core.format import name_rule
from evalkit.core.location import Location
from evalkit.core.safe_text import head
from evalkit.report import case_status
from evalkit.report.model import Report

AnnotationLevel: TypeAlias = Literal["error", "warning"]

_MAX_QUOTE_CHARS = 600


class Annotation(NamedTuple):
    """A message at a line of a file. Title and message may contain data."""

    level: AnnotationLevel
    where: Location
    title: str
    message: str


class Annotations(NamedTuple):
    """The annotations of a report: where its gate came from, about its gate, and about its cases."""

    definition: tuple[Annotation, ...]
    gate: tuple[Annotation, ...]
    cases: tuple[Annotation, ...]

    @property
    def in_order(self) -> tuple[Annotation, ...]:
        """All annotations, the most important ones first."""
        return (*self.definition, *self.gate, *self.cases)


def find_annotations(report: Report) -> Annotations:
    """Return all annotations, worst cases first: errors if the run failed, warnings if the gate passes it.

    Their paths start from the top of the checkout.
    """
    level: AnnotationLevel = "error" if report.gate_result.exit_code else "warning"
    results = case_status.case_results(report.run, report.gate_result, report.baseline)
    groups = (
        _definition_annotations(report),
        _gate_annotations(report, level),
        _case_annotations(results, level),
    )
    return Annotations(
        *(
            tuple(each._replace(where=report.place(each.where)) for each in group)
            for group in groups
        )
    )


def _definition_annotations(report: Report) -> Iterator[Annotation]:
    """Yield a warning if a change could have edited the definition of the gate unseen."""
    source, header = report.gate_result.definition, report.run.header
    if source is not None and source.warning:
        whole = Location(path=header.evalset_path)
        yield Annotation("warning", whole, header.evalset, report.gate_result.definition_sentence)


def _gate_annotations(report: Report, level: AnnotationLevel) -> Iterator[Annotation]:
    """Yield an annotation for every edit that loosens the gate, and every threshold that failed."""
    header = report.run.header
    failed = [
        check
        for check in report.gate_result.checks
        if check.outcome in ("fail", "undecided") and not check.advisory
    ]
    review = report.gate_result.gate
    for edit in review.loosening if review is not None and not review.accepted else ():
        yield Annotation(level, edit.where, f"{header.evalset}: loosens the gate", edit.sentence)
    for check in failed:
        title = f"{header.evalset}: {name_rule(check.rule)} {check.outcome}"
        yield Annotation(level, check.rule.where, title, check.sentence)
    # A run can fail without a threshold, for example with too many errors.
    if report.gate_result.exit_code and not failed:
        whole = Location(path=header.evalset_path)
        yield Annotation(level, whole, header.evalset, report.gate_result.reason)


def _case_annotations(
    results: Sequence[case_status.CaseResult], level: AnnotationLevel
) -> Iterator[Annotation]:
    for result in case_status.worst_first(results):
        title = f"{result.case.id} {result.label} ({case_status.passes_change(result.change)})"
        yield Annotation(level, result.case.where, title, _message(result))


def _message(result: case_status.CaseResult) -> str:
    parts = [case_status.STATUS_TEXTS[result.status]]
    if reason := case_status.reason_text(result):
        parts.append(reason)
    if result.case.expected is not None:
        parts.append(
            f"expected: {head(case_status.json_text(result.case.expected), _MAX_QUOTE_CHARS)}"
        )
    trial = case_status.representative_trial(result.trials, passed=False)
    if trial is not None and trial.output.error is None:
        parts.append(f"got: {head(case_status.answer_text(trial.output), _MAX_QUOTE_CHARS)}")
    return "\n".join(parts)
