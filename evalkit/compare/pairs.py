"""Compare two runs of an eval set over the cases that are the same in both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from evalkit.compare.scores import ScoreTable, build_score_table, is_usable, mean
from evalkit.core.errors import NotComparable
from evalkit.core.eval_set import Case
from evalkit.core.format import format_count
from evalkit.core.gate_result import CaseChange, Comparison, MetricChange
from evalkit.core.run import MetricInfo, Run
from evalkit.core.trial import Trial

_MAX_NAMED_CASES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseRerun:
    """Why a case took more than one candidate trial, and the trials that only the exact test uses.

    `extra` are values of such trials. `marked` is the number of trials of both runs that count for the
    choice to run the case again, of which `marked_passed` have the value 1; 0 means that it was no choice.
    """

    extra: tuple[float, ...] = ()
    marked: int = 0
    marked_passed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedScores:
    """One metric on the cases that both runs scored, in the candidate's order.

    `base[i]` and `candidate[i]` are the values of the trials of `cases[i]`, at least one each. `reruns[i]`
    is set if the run chose which cases to run again; otherwise `reruns` is empty.
    """

    info: MetricInfo
    cases: tuple[Case, ...]
    base: tuple[tuple[float, ...], ...]
    candidate: tuple[tuple[float, ...], ...]
    reruns: tuple[CaseRerun, ...] = ()


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
        and not _incomparable_reason(name, base, candidate)
    ]
    cases = tuple(_case_changes(base, candidate, comparable))
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
        if info.name in before and before[info.name].definition != info.definition
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
        for tag in (None, *tags):
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


def passes_metrics(trial: Trial, metrics: Sequence[str]) -> bool:
    """Return whether a trial fails none of these metrics."""
    return all(score.passed is not False for score in trial.scores if score.metric in metrics)


def _pass_fail_values(trials: Iterable[Trial], metric: str) -> list[float]:
    """Return the values of scores that passed or failed. Measurements differ in every trial anyway."""
    return [
        score.value
        for trial in trials
        for score in trial.scores
        if score.metric == metric and score.passed is not None and is_usable(score)
        if score.value is not None
    ]


def _is_out_of_range(before: list[Trial], after: list[Trial], metrics: Sequence[str]) -> bool:
    """Return whether the mean of any metric is outside the range of the baseline's values for the case."""
    for metric in metrics:
        old, new = _pass_fail_values(before, metric), _pass_fail_values(after, metric)
        if old and new and not min(old) <= mean(new) <= max(old):
            return True
    return False


def _case_change(
    case: Case, before: list[Trial], after: list[Trial], metrics: Sequence[str]
) -> CaseChange:
    change = _count_passes(case, before, after, metrics)
    # Without a metric that both runs define in the same way, passes cannot be compared.
    if not (before and after and metrics):
        return replace(change, status="not_scored")
    if _passed_before(change) != _passes_now(change):
        return replace(change, status="fixed" if _passes_now(change) else "regressed")
    # A metric that always fails, such as a new strict one, must not hide the regression of another.
    for metric in metrics:
        alone = _count_passes(case, before, after, [metric])
        if _passed_before(alone) and not _passes_now(alone):
            return replace(alone, status="regressed", metric=metric)
    if _is_out_of_range(before, after, metrics):
        return replace(change, status="changed")
    return change


def _count_passes(
    case: Case, before: list[Trial], after: list[Trial], metrics: Sequence[str]
) -> CaseChange:
    base_passed = sum(passes_metrics(trial, metrics) for trial in before)
    return CaseChange(
        case_id=case.id,
        status="unchanged",
        flaky=0 < base_passed < len(before),
        base_passed=base_passed,
        base_trials=len(before),
        passed=sum(passes_metrics(trial, metrics) for trial in after),
        trials=len(after),
    )


def _passed_before(change: CaseChange) -> bool:
    # A case passes if more than half of its trials pass; half is not enough.
    return 2 * change.base_passed > change.base_trials


def _passes_now(change: CaseChange) -> bool:
    return 2 * change.passed > change.trials


def _case_changes(
    base: ScoreTable, candidate: ScoreTable, metrics: Sequence[str]
) -> Iterable[CaseChange]:
    """Yield the candidate's cases in their order, then the cases that were removed.

    Passes count only the metrics that both runs define in the same way. A case that a partial run did
    not select was not removed, so it is skipped.
    """
    known, now = base.cases, candidate.cases
    shared = {case.id for case in find_shared_cases(base, candidate)}
    for case in candidate.header.cases:
        after = candidate.scored_trials(case.id)
        if case.id in shared:
            yield _case_change(case, base.scored_trials(case.id), after, metrics)
            continue
        yield CaseChange(
            case_id=case.id,
            status="edited" if case.id in known else "added",
            passed=sum(trial.passed for trial in after),
            trials=len(after),
        )
    if not _is_partial(candidate):
        for case in base.header.cases:
            if case.id not in now:
                before = base.scored_trials(case.id)
                yield CaseChange(
                    case_id=case.id,
                    status="removed",
                    base_passed=sum(trial.passed for trial in before),
                    base_trials=len(before),
                )


def _is_partial(table: ScoreTable) -> bool:
    return bool(table.header.selection or table.header.shard)


def _notes(base: ScoreTable, candidate: ScoreTable, cases: Sequence[CaseChange]) -> Iterable[str]:
    """Yield what the comparison leaves out."""
    for status, why in (
        ("added", "not in the baseline"),
        ("removed", "in the baseline and no longer in the set"),
        ("edited", "not the same case as in the baseline"),
        ("not_scored", "without a complete trial in one of the runs"),
    ):
        ids = [change.case_id for change in cases if change.status == status]
        if ids:
            yield f"Not compared, {why}: {summarize_case_ids(ids)}."
    left_out = len(base.cases.keys() - candidate.cases.keys())
    if left_out and _is_partial(candidate):
        yield f"Not selected in this run: {format_count(left_out, 'case')} of the baseline."
    for metric in dict.fromkeys((*candidate.infos, *base.infos)):
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
