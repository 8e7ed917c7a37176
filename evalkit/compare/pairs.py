"""Compare two runs of an eval set over the cases that are the same in both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace

from evalkit.compare.case_changes import (
    compare_case_trials,
    describe_case,
    describe_removed_case,
)
from evalkit.compare.paired_scores import PairedScores
from evalkit.compare.scores import ScoreTable, build_score_table, mean
from evalkit.core.errors import NotComparable
from evalkit.core.eval_set import Case
from evalkit.core.format import format_count
from evalkit.core.gate_result import CaseChange, Comparison, MetricChange
from evalkit.core.run import Run

_MAX_NAMED_CASES = 5


def compare_runs(baseline: Run, candidate: Run) -> Comparison:
    """Return what changed from baseline to candidate, per metric, per tag and per case."""
    return compare_tables(build_score_table(baseline), build_score_table(candidate))


def compare_tables(base: ScoreTable, candidate: ScoreTable) -> Comparison:
    """Return what changed between two runs, given their score tables."""
    comparable = [
        name
        for name in candidate.infos
        if name in base.infos
        and not candidate.infos[name].advisory
        and not candidate.infos[name].is_pairwise
        and not _incomparable_reason(name, base, candidate)
    ]
    shared = {case.id for case in find_shared_cases(base, candidate)}
    cases = tuple(_compare_cases(base, candidate, shared, comparable))
    return Comparison(
        base=base.header.id,
        candidate=candidate.header.id,
        metrics=tuple(_metric_changes(base, candidate)),
        cases=cases,
        notes=tuple(_notes(base, candidate, cases)),
    )


def find_shared_cases(base: ScoreTable, candidate: ScoreTable) -> tuple[Case, ...]:
    """Return the candidate's cases whose digests are equal in both runs."""
    known = base.cases
    return tuple(
        case
        for case in candidate.header.cases
        if case.id in known and known[case.id].digest == case.digest
    )


def find_redefined_metrics(base: ScoreTable, candidate: ScoreTable) -> list[str]:
    """Return the metrics of both runs that are defined differently."""
    before = base.infos
    return [
        info.name
        for info in candidate.header.metrics
        if info.name in before
        and before[info.name].definition != info.definition
        and not info.is_pairwise
    ]


def _incomparable_reason(metric: str, base: ScoreTable, candidate: ScoreTable) -> str:
    """Return why a metric cannot be compared; empty if it can."""
    for table, name in ((candidate, "this run"), (base, "the baseline")):
        if metric not in table.infos:
            return f"it is not in {name}"
    before, now = base.infos[metric], candidate.infos[metric]
    if before.judge_digest != now.judge_digest:
        return (
            f"it was judged by {before.judge or 'no judge'} in the baseline and by "
            f"{now.judge or 'no judge'} in this run"
        )
    if before.digest != now.digest:
        return "it was measured differently in the baseline (its definition has changed since)"
    return ""


def pair_scores(
    base: ScoreTable,
    candidate: ScoreTable,
    metric: str,
    *,
    tag: str | None = None,
    flags: bool = False,
) -> PairedScores:
    """Return a metric's values, or with `flags` its passes as 0 and 1, on the cases that both runs scored.

    Raises:
        NotComparable: there is no such case, or the metric is missing or defined differently.
    """
    if reason := _incomparable_reason(metric, base, candidate):
        raise NotComparable(reason)
    cases = [case for case in find_shared_cases(base, candidate) if tag is None or tag in case.tags]
    if not cases:
        which = "" if tag is None else f" with tag {tag!r}"
        raise NotComparable(f"no case{which} is the same in this run and in the baseline")
    rows = []
    for case in cases:
        before, after = (table.scores[metric].get(case.id) for table in (base, candidate))
        if before is None or after is None:
            continue
        row = (before.flags, after.flags) if flags else (before.values, after.values)
        if all(row):
            rows.append((case, *row))
    if not rows:
        what = "a pass or a failure" if flags else "a value"
        raise NotComparable(f"no case has {what} of it both in this run and in the baseline")
    info = candidate.infos[metric]
    return PairedScores(
        info=replace(info, unit="") if flags else info,
        cases=tuple(case for case, _, _ in rows),
        base=tuple(before for _, before, _ in rows),
        candidate=tuple(after for _, _, after in rows),
    )


def _metric_changes(base: ScoreTable, candidate: ScoreTable) -> Iterable[MetricChange]:
    tags = dict.fromkeys((*candidate.tags, *base.tags))
    for metric in dict.fromkeys((*candidate.infos, *base.infos)):
        info = candidate.infos.get(metric) or base.infos[metric]
        # A pairwise metric is a comparison itself.
        for tag in () if info.is_pairwise else (None, *tags):
            change = MetricChange(
                metric=metric, tag=tag, unit=info.unit, higher_is_better=info.higher_is_better
            )
            try:
                pairs = pair_scores(base, candidate, metric, tag=tag)
            except NotComparable as reason:
                # One reason per metric is enough, so tags that cannot be compared are left out.
                if tag is None:
                    yield replace(change, why_not=str(reason))
                continue
            yield replace(
                change,
                base=mean(map(mean, pairs.base)),
                candidate=mean(map(mean, pairs.candidate)),
                cases=len(pairs.cases),
            )


def _compare_cases(
    base: ScoreTable, candidate: ScoreTable, shared: Set[str], metrics: Sequence[str]
) -> Iterable[CaseChange]:
    """Yield the candidate's cases in their order, then the cases that were removed.

    A case that a partial run did not select was not removed, so it is skipped.
    """
    known, now = base.cases, candidate.cases
    for case in candidate.header.cases:
        row = candidate.trials[case.id]
        if case.id in shared:
            yield compare_case_trials(case, base.scored_trials(case.id), row, metrics)
        else:
            yield describe_case(case, row, is_edited=case.id in known)
    if not _is_partial(candidate):
        for case in base.header.cases:
            if case.id not in now:
                yield describe_removed_case(case, base.scored_trials(case.id))


def _is_partial(table: ScoreTable) -> bool:
    return bool(table.header.selection or table.header.shard)


def _notes(base: ScoreTable, candidate: ScoreTable, cases: Sequence[CaseChange]) -> Iterable[str]:
    """Yield what the comparison leaves out."""
    for origin, why in (
        ("added", "not in the baseline"),
        ("removed", "in the baseline and no longer in the set"),
        ("edited", "not the same case as in the baseline"),
    ):
        ids = [change.case_id for change in cases if change.origin == origin]
        if ids:
            yield f"Not compared, {why}: {summarize_case_ids(ids)}."
    without = [
        change.case_id
        for change in cases
        if change.origin == "shared" and not (change.trials and base.scored_trials(change.case_id))
    ]
    if without:
        why = "without a complete trial in one of the runs"
        yield f"Not compared, {why}: {summarize_case_ids(without)}."
    left_out = len(base.cases.keys() - candidate.cases.keys())
    if left_out and _is_partial(candidate):
        yield f"Not selected in this run: {format_count(left_out, 'case')} of the baseline."
    infos = {**base.infos, **candidate.infos}
    for metric in dict.fromkeys((*candidate.infos, *base.infos)):
        if infos[metric].is_pairwise:
            continue
        if reason := _incomparable_reason(metric, base, candidate):
            yield f"Not compared: {metric}, because {reason}."
    lost = sum(state not in ("scored", "skipped") for row in base.states.values() for state in row)
    if lost:
        have, are = ("has", "is") if lost == 1 else ("have", "are")
        trials = format_count(lost, "trial")
        yield f"{trials} of the baseline {have} no complete score and {are} left out."


def summarize_case_ids(ids: Sequence[str]) -> str:
    """Return the number of cases and the first few ids."""
    named = ", ".join(ids[:_MAX_NAMED_CASES])
    more = f" and {len(ids) - _MAX_NAMED_CASES} more" if len(ids) > _MAX_NAMED_CASES else ""
    return f"{format_count(len(ids), 'case')} ({named}{more})"
