"""Render the cases whose label is probably wrong, as terminal text, a note, and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.compare.suspect_labels import SuspectLabel
from evalkit.core.format import format_count
from evalkit.core.safe_text import one_line
from evalkit.report.documents import PropertyTable, render_record
from evalkit.report.screen import Screen, align_columns, heading, join_sections

_MAX_NAMED = 3
_MAX_QUOTE_CHARS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class SuspectLabels:
    """The cases of a run with evidence against their label, the most likely wrong one first.

    `cases` were examined, with the answers of `versions` versions of the agent.
    """

    run: str
    evalset: str
    cases: int
    versions: int
    ranked: tuple[SuspectLabel, ...]
    notes: tuple[str, ...] = ()

    @property
    def suspects(self) -> tuple[SuspectLabel, ...]:
        """The cases whose label is more likely wrong than right."""
        return tuple(each for each in self.ranked if each.is_suspect)


JSON_PROPERTIES: PropertyTable = {SuspectLabel: ("is_suspect",)}


def suspect_labels_text(found: SuspectLabels, screen: Screen) -> str:
    """Render the suspect labels with the evidence against each."""
    rows = [
        (
            each.case_id,
            _percent(each.chance),
            one_line(each.label, _MAX_QUOTE_CHARS),
            one_line(each.answer, _MAX_QUOTE_CHARS) or "another answer",
        )
        for each in found.suspects
    ]
    table = align_columns(
        rows,
        screen,
        titles=("case", "wrong", "label", "instead"),
        shrinkable={3: 16, 2: 16, 0: 10},
        right=(1,),
    )
    reasons = [f"{each.case_id}: {', '.join(_evidence(each))}" for each in found.suspects]
    legend = (
        "wrong: the probability that the label is wrong. evalkit help power has the formula. Look at "
        "these labels first; evalkit review asks for their answers first."
    )
    return join_sections(
        [
            [
                heading(f"Labels of {found.evalset} that are probably wrong", screen),
                *screen.fold_all(_summary(found), indent="  ", hang="  "),
            ],
            table,
            screen.fold_all(reasons, indent="  ", hang="    "),
            [
                *(screen.fold(legend, indent="  ", hang="    ") if rows else []),
                *screen.fold_all(found.notes, hang="  "),
            ],
        ]
    )


def suspect_labels_json(found: SuspectLabels) -> str:
    """Render every case with evidence as an `evalkit.suspects/v1` document."""
    return render_record("evalkit.suspects/v1", found, JSON_PROPERTIES)


def name_suspects(suspects: Sequence[SuspectLabel], run: str) -> str:
    """Return a note on cases that must pass and whose label is probably wrong."""
    named = [
        f"{each.case_id} ({_percent(each.chance)}: {', '.join(_evidence(each))})"
        for each in suspects[:_MAX_NAMED]
    ]
    more = f" and {len(suspects) - _MAX_NAMED:,} more" if len(suspects) > _MAX_NAMED else ""
    what = "whose label is" if len(suspects) == 1 else "whose labels are"
    return (
        f"SUSPECT LABEL: must_pass fails on {', '.join(named)}{more}, {what} probably wrong. "
        f"Look at: evalkit show {run} --suspect-labels"
    )


def _summary(found: SuspectLabels) -> Iterator[str]:
    cases = format_count(found.cases, "case")
    yield (
        f"{len(found.suspects):,} of {cases} with a label, by the answers of "
        f"{format_count(found.versions, 'version')} of the agent"
    )
    others = len(found.ranked) - len(found.suspects)
    if others:
        yield (
            f"{format_count(others, 'other case')}: some evidence against the label, but it is more "
            f"likely right. --format json lists them."
        )


def _evidence(suspect: SuspectLabel) -> Iterator[str]:
    if suspect.answer:
        yield f"{suspect.versions} of {suspect.all_versions} versions"
        verdict = "accepts" if suspect.judge else "rejects"
    else:
        yield f"{suspect.fitting_versions} of {suspect.all_versions} versions fit the label"
        verdict = "accepts them" if suspect.judge else "rejects them"
    if suspect.judge is not None:
        yield f"judge {verdict}"
    if suspect.raters_for:
        yield f"{format_count(suspect.raters_for, 'rater')} for it"
    if suspect.raters_against:
        yield f"{format_count(suspect.raters_against, 'rater')} against it"


def _percent(chance: float) -> str:
    return f"{min(chance, 0.999):.0%}" if chance < 0.995 else ">99%"
