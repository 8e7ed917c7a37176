"""Count the trials of a run by state, and summarize every metric and tag."""

from __future__ import annotations

from itertools import chain

from evalkit.compare.preferences import collect_preferences, count_preferences
from evalkit.compare.scores import CaseScores, ScoreTable, mean, quantile, sum_missing, trial_state
from evalkit.core.gate_result import MetricSummary, Tally
from evalkit.core.literals import TRIAL_STATES
from evalkit.core.run import MetricInfo


def tally_table(table: ScoreTable) -> Tally:
    """Count every selected trial in exactly one state; a missing trial is `not_run`."""
    counts = dict.fromkeys(TRIAL_STATES, 0)
    further = chain(table.extra.values(), table.fresh.values())
    states = map(trial_state, chain.from_iterable(further))
    for state in chain(chain.from_iterable(table.states.values()), states):
        counts[state] += 1
    return Tally(selected=sum(counts.values()), counts=counts)


def summarize_table(table: ScoreTable) -> tuple[MetricSummary, ...]:
    """Return a summary of every metric, over the whole run and over the cases of each tag.

    Mean and rate are means of the means of cases, so every case has the same weight even if trials are
    missing. The quantiles are over all scored trials.
    """
    infos = table.infos
    ids_by_tag: dict[str, list[str]] = {tag: [] for tag in table.tags}
    for case in table.cases.values():
        # A case may list a tag twice.
        for tag in dict.fromkeys(case.tags):
            ids_by_tag[tag].append(case.id)
    summaries = []
    for metric, by_case in table.scores.items():
        info = infos.get(metric, MetricInfo(name=metric))
        summaries.append(_summarize(info, None, list(by_case.values()), table))
        for tag, case_ids in ids_by_tag.items():
            tagged = [by_case[case_id] for case_id in case_ids if case_id in by_case]
            if tagged:
                summaries.append(_summarize(info, tag, tagged, table))
    return tuple(summaries)


def _summarize(
    info: MetricInfo, tag: str | None, cases: list[CaseScores], table: ScoreTable
) -> MetricSummary:
    values = sorted(value for case in cases for value in case.values)
    flagged = [case.flags for case in cases if case.flags]
    pairs = collect_preferences(table, info.name, tag) if info.is_pairwise else []
    return MetricSummary(
        metric=info.name,
        tag=tag,
        unit=info.unit,
        higher_is_better=info.higher_is_better,
        due=sum(case.due for case in cases),
        scored=len(values),
        missing=sum_missing(cases),
        mean=mean(mean(case.values) for case in cases if case.values) if values else None,
        rate=mean(mean(flags) for flags in flagged) if flagged else None,
        p50=quantile(values, 0.50) if values else None,
        p95=quantile(values, 0.95) if values else None,
        p99=quantile(values, 0.99) if values else None,
        preference=count_preferences(pairs) if pairs else None,
    )
