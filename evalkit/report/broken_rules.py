"""Find the failed thresholds that the failures of a case break."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.core.eval_set import Rule
from evalkit.core.format import name_rule
from evalkit.core.gate_result import CaseChange, GateResult


def find_broken_rules(gate_result: GateResult) -> dict[str, list[Rule]]:
    """Return by case id the failed thresholds that name the case."""
    found: dict[str, list[Rule]] = {}
    for check in gate_result.checks:
        if check.outcome == "fail" and not check.advisory:
            for hit in check.hits:
                found.setdefault(hit.case_id, []).append(check.rule)
    return found


def name_broken_rules(rules: Sequence[Rule], change: CaseChange) -> tuple[str, ...]:
    """Return the names of the rules that the failures of a case break.

    A rule on a mean may name a case that passes, but such a case breaks nothing.
    """
    fails = 2 * change.passed_all <= change.trials
    names = [name_rule(rule) for rule in rules if fails or rule.must_pass is not None]
    return tuple(dict.fromkeys(names))
