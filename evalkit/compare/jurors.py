"""Measure how far the jurors of a run agree with each other, by metric and criterion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from evalkit.core.calibration import Estimate, JurorAgreement, RaterAgreement
from evalkit.core.format import format_count, format_value
from evalkit.core.run import Run

_NO_OTHER_LEVEL = "(any other level)"
"""A level that no juror gave. Agreement beyond chance is defined for two levels or more."""


def measure_juror_agreement(run: Run) -> tuple[JurorAgreement, ...]:
    """Return the agreement of each two jurors on the distinct answers of a run; empty without a jury.

    Equal answers to a case count once, because a juror's verdict on them is the same.
    """
    given: defaultdict[tuple[str, str], dict[str, dict[str, str]]] = defaultdict(dict)
    values: defaultdict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for trial in run.trials:
        answer = repr((trial.case_id, trial.output.text, trial.output.data))
        for score in trial.scores:
            for juror in score.judgement.jurors if score.judgement else ():
                for verdict in juror.verdicts:
                    key = score.metric, verdict.criterion
                    given[key].setdefault(answer, {})[juror.judge] = verdict.level
                    values[key][verdict.level] = verdict.value
    if not given:
        return ()
    from evalkit.stats.agreement import compare_raters  # noqa: PLC0415 - loads numpy

    found = []
    for (metric, criterion), answers in given.items():
        by_value = sorted(
            values[metric, criterion].items(), key=lambda level: (-level[1], level[0])
        )
        if len(by_value) == 1:
            by_value.append((_NO_OTHER_LEVEL, by_value[0][1] - 1))
        compared = compare_raters(
            answers, [name for name, _ in by_value], [value for _, value in by_value]
        )
        pairs = tuple(each for each in compared if not each.is_against_majority)
        found.append(JurorAgreement(metric=metric, criterion=criterion, pairs=pairs))
    return tuple(found)


def describe_juror_agreement(found: JurorAgreement) -> Iterator[str]:
    """Yield a sentence on each pair of jurors."""
    for pair in found.pairs:
        yield f"JURY: {found.metric}, {found.criterion}: {_describe_pair(pair)}."


def _describe_pair(pair: RaterAgreement) -> str:
    agreement = pair.agreement
    share = format_value(agreement.accuracy.value, "")
    kappa = _describe_estimate("kappa", agreement.kappa)
    ac1 = _describe_estimate("AC1", agreement.ac1)
    return (
        f"{pair.rater} and {pair.other} agree on {share} of {format_count(agreement.answers, 'answer')} "
        f"({kappa}, {ac1})"
    )


def _describe_estimate(name: str, estimate: Estimate | None) -> str:
    if estimate is None:
        return f"{name} unknown, because both gave one level throughout"
    return f"{name} {estimate.value:.2f}, 90% interval {estimate.low:.2f} to {estimate.high:.2f}"
