"""Define what thresholds are applied to and what they return, with helpers for all kinds of rules."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches

from evalkit.compare.pairs import compare_tables, find_redefined_metrics
from evalkit.compare.scores import CaseScores, ScoreTable, build_score_table, sum_missing
from evalkit.core.errors import Undecidable
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_missing
from evalkit.core.gate_result import Comparison
from evalkit.core.literals import Outcome
from evalkit.core.run import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class GateInputs:
    """The run, and its baseline with the comparison if there is one."""

    candidate: ScoreTable
    base: ScoreTable | None = None
    comparison: Comparison | None = None
    baseline_problem: str = ""

    @property
    def record_command(self) -> str:
        """The command that records a baseline for this set."""
        return f"evalkit baseline {shlex.quote(self.candidate.header.evalset_path)}"

    def require_base(self) -> tuple[ScoreTable, Comparison]:
        """Return the baseline and its comparison.

        Raises:
            Undecidable: there is no baseline.
        """
        if self.base is None or self.comparison is None:
            raise Undecidable(
                self.baseline_problem or f"there is no baseline. Record one: {self.record_command}"
            )
        return self.base, self.comparison

    def require_comparable_cases(self) -> tuple[ScoreTable, Comparison]:
        """Return the baseline and its comparison, if a pass of a case means the same in both runs.

        Raises:
            Undecidable: there is no baseline, or it defines a metric differently.
        """
        base, comparison = self.require_base()
        if redefined := find_redefined_metrics(base, self.candidate):
            raise self.undecidable(f"{', '.join(redefined)} measured differently in the baseline")
        return base, comparison

    def with_candidate(self, run: Run) -> GateInputs:
        """Return the inputs with another run and its comparison with the baseline."""
        table = build_score_table(run)
        comparison = compare_tables(self.base, table) if self.base is not None else None
        return replace(self, candidate=table, comparison=comparison)

    def undecidable(self, why: str) -> Undecidable:
        """Return an error that says to record a new baseline."""
        return Undecidable(f"{why}. Record a new baseline: {self.record_command}")


def count_outcome(found: int, unknown: int, allowed: int) -> Outcome:
    """Return the outcome of a rule that counts cases; undecided if unknown cases could change it."""
    if found > allowed:
        return "fail"
    return "undecided" if found + unknown > allowed else "pass"


def find_rule_scores(rule: Rule, table: ScoreTable) -> list[CaseScores]:
    """Return the scores of a rule's metric on the cases that the rule is about.

    Raises:
        Undecidable: there are no scores, or none has a value.
    """
    cases = table.cases
    scores = [
        scored
        for case_id, scored in table.scores[rule.metric].items()
        if rule.tag is None or rule.tag in cases[case_id].tags
    ]
    if not scores:
        raise Undecidable("it scores none of these cases")
    if not any(case.values for case in scores):
        missing = format_missing(sum_missing(scores))
        raise Undecidable(f"no trial has a value of it ({missing})")
    # A measurement without a verdict has values but no flags.
    if rule.stat == "rate" and not any(case.flags for case in scores):
        raise Undecidable("it is a measurement that neither passes nor fails, so it has no rate")
    return scores


def explain_unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return the message that a name is unknown, with the most similar known name."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names) or 'none'}"
    return f"no {what} {name!r}; {hint}"
