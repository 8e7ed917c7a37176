"""Turn what newly failing cases have in common into the rows and sentences that all reports share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from evalkit.compare.breakage import ALPHA, Breakage
from evalkit.core.format import format_count

BREAKAGE_TITLES = ("associated with failing", "newly failing", "still passing", "p")
_MAX_ASSOCIATIONS = 5
_MAX_DIFFERENCES = 3


def breakage_rows(breakage: Breakage | None) -> list[tuple[str, str, str, str]]:
    """Return a row under `BREAKAGE_TITLES` for each association, the strongest first."""
    if breakage is None:
        return []
    return [
        (
            each.feature,
            f"{each.failing:,} of {breakage.failing:,}",
            f"{each.passing:,} of {breakage.passing:,}",
            _format_p(each.p_value),
        )
        for each in breakage.associations[:_MAX_ASSOCIATIONS]
    ]


def breakage_sentences(breakage: Breakage | None) -> list[str]:
    """Return what was compared and where the cases differ first; empty if there is nothing to say."""
    if breakage is None:
        return []
    if breakage.why_not:
        return [f"The steps cannot be compared, because {breakage.why_not}."]
    return list(_sentences(breakage))


def differences_by_case(breakage: Breakage | None) -> dict[str, str]:
    """Return the first difference of each newly failing case, with its step."""
    return {
        case.case_id: f"step {case.step}: {case.difference}" if case.step else case.difference
        for case in (breakage.cases if breakage else ())
    }


def _sentences(breakage: Breakage) -> Iterator[str]:
    counts = Counter(case.difference for case in breakage.cases).most_common()
    named = [f"{name} ({count:,})" for name, count in counts[:_MAX_DIFFERENCES]]
    others = sum(count for _, count in counts[_MAX_DIFFERENCES:])
    more = f", and others ({others:,})" if others else ""
    of = f"Of {format_count(breakage.failing, 'newly failing case')}, the {breakage.compared}"
    yield f"{of} first differ from the baseline by: {', '.join(named)}{more}."
    if breakage.shared:
        yield (
            f"Every compared case, failing or not, also shows: {', '.join(breakage.shared)}. "
            "So that does not separate them."
        )
    if not breakage.passing:
        yield "No compared case still passes, so no feature can be associated with failing."
    elif breakage.associations:
        tested = format_count(breakage.tested, "feature")
        yield (
            f"Associated is not caused: p is Fisher's exact test, adjusted for {tested}. If none was "
            f"related to failing, a row would appear 1 time in {1 / ALPHA:.0f} at most."
        )
    else:
        yield "No step, tool, argument, or model is associated with failing."
    if breakage.left_out:
        cases = format_count(breakage.left_out, "case")
        yield f"Left out, without steps in both runs: {cases}."


def _format_p(p_value: float) -> str:
    return "<0.0001" if p_value < 0.0001 else f"{p_value:.2g}"
