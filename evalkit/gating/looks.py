"""A run so far into whether another trial of every case is worth its cost.

One trial of every case is run and decided, then a second, then a third, and the first look that fails
or passes ends it: most changes are decided by one trial. Looking three times at the usual alpha would
fail unchanged agents too often, so every look gets less of it (group sequential testing, Pocock 1977).
"""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.records import Rule, Run
from evalkit.samples import ScoreTable, tabulate
from evalkit.spelling import count_of
from evalkit.verdict import Verdict

MOST_LOOKS = 3

FEWEST_BASE_TRIALS = 3
"""With fewer the weights of the exact test mislead, and the baseline's own noise blurs every look."""


def _is_binary(table: ScoreTable, rule: Rule) -> bool:
    """Whether a rule's metric gave nothing but 0 and 1 here."""
    info = table.infos.get(rule.metric)
    rows = table.scores.get(rule.metric, {}).values()
    return (
        info is not None
        and not info.unit
        and all(value in (0.0, 1.0) for row in rows for value in row.values)
    )


def is_looked_at(rule: Rule, baseline: ScoreTable) -> bool:
    """Whether a rule asks if a 0/1 metric got worse, which further trials can settle."""
    compares = rule.max_drop is not None or rule.max_rise is not None
    if not compares or rule.test == "point":
        return False
    return rule.stat == "rate" or (rule.stat == "mean" and _is_binary(baseline, rule))


def count_looks(rules: Sequence[Rule], baseline: Run | None) -> int:
    """How many looks a run may take; 0 when none would settle anything and one trial is all."""
    if baseline is None or baseline.header.trials < FEWEST_BASE_TRIALS:
        return 0
    table = tabulate(baseline)
    return MOST_LOOKS if any(is_looked_at(rule, table) for rule in rules) else 0


def wants_look(verdict: Verdict, baseline: Run) -> bool:
    """Whether a further trial of every case may settle a 0/1 rule that is neither failed nor passed.

    A rule that failed settles the gate.
    """
    table = tabulate(baseline)
    outcomes = {
        check.outcome
        for check in verdict.checks
        if not check.advisory and is_looked_at(check.rule, table)
    }
    return "fail" not in outcomes and "inconclusive" in outcomes


def looks_note(run: Run, verdict: Verdict) -> str:
    """Why a run took as many looks as it did, and what that saved; empty when it was not up to it."""
    header = run.header
    if not header.looks or verdict.tally.counts["not_run"]:
        return ""
    taken = f"{header.trials} of {count_of(header.looks, 'trial')} of every case"
    saved = (header.looks - header.trials) * len(header.cases)
    if not saved:
        return f"Took {taken}, as those before left the gate undecided."
    if verdict.outcome == "undecided":
        return f"Stopped after {taken}, because more would not lead to a decision."
    return f"Decided after {taken}: {count_of(saved, 'agent run')} saved."
