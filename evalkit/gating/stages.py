"""What a run has shown so far into its verdict and what it should go on to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from evalkit.gating.broken import call_for_fresh
from evalkit.gating.gate import OnInconclusive, decide, find_obstacle
from evalkit.gating.looks import wants_look
from evalkit.records import Rule, Run, RunHeader
from evalkit.verdict import Verdict


class Stage(NamedTuple):
    """The verdict on a run so far, and the header it should go on with: None when it is at its end."""

    verdict: Verdict
    following: RunHeader | None


def judge_stage(
    rules: Sequence[Rule],
    run: Run,
    baseline: Run,
    *,
    max_errors: int,
    on_inconclusive: OnInconclusive,
) -> Stage:
    """Decide a run that did all it set out to do, and see what its results call for in turn."""
    header = run.header
    verdict = decide(rules, run, baseline, max_errors=max_errors, on_inconclusive=on_inconclusive)
    if find_obstacle(verdict.tally, max_errors):
        return Stage(verdict, None)
    # Trials of all cases come first: fresh ones are numbered on from them.
    if not header.fresh and header.trials < header.looks and wants_look(verdict, baseline):
        return Stage(verdict, replace(header, trials=header.trials + 1))
    fresh = {**header.fresh, **call_for_fresh(rules, run, baseline)}
    return Stage(verdict, replace(header, fresh=fresh) if fresh != header.fresh else None)
