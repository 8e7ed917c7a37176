"""Collect the results of a pairwise metric from a run's trials, and count the cases won, tied, and lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.compare.scores import ScoreTable
from evalkit.core.eval_set import Case
from evalkit.core.format import format_count
from evalkit.core.gate_result import PreferenceCounts
from evalkit.core.judgement import PairResult
from evalkit.core.serialization import digest
from evalkit.core.trial import Output, Score, Trial

_POINTS = {"win": 1, "tie": 0, "loss": -1}


@dataclass(frozen=True, kw_only=True, slots=True)
class CasePreference:
    """The pairs of one case, at least one, with the scores of the candidate's trials in them."""

    case: Case
    pairs: tuple[PairResult, ...]
    values: tuple[float, ...]

    @property
    def points(self) -> int:
        """1 if more pairs were won than lost, -1 if more were lost, else 0."""
        total = sum(_POINTS[pair.preference] for pair in self.pairs)
        return (total > 0) - (total < 0)


def digest_answer(output: Output) -> str:
    """Return a digest of everything in an output that a comparison could have shown to a judge."""
    return digest([output.text, output.data])


def collect_preferences(
    table: ScoreTable, metric: str, tag: str | None = None
) -> list[CasePreference]:
    """Return the pairs of each case that has any, in the order of the run."""
    found = []
    for case in table.header.cases:
        if tag is not None and tag not in case.tags:
            continue
        scored = [
            (score.judgement.pair, float(score.value))
            for trial in table.trials[case.id]
            for score in _scores_of(trial)
            if score.metric == metric and score.is_usable
            if score.value is not None and score.judgement and score.judgement.pair
        ]
        if scored:
            pairs, values = zip(*scored, strict=True)
            found.append(CasePreference(case=case, pairs=pairs, values=values))
    return found


def _scores_of(trial: Trial | None) -> tuple[Score, ...]:
    return () if trial is None or trial.output.error is not None else trial.scores


def count_preferences(cases: Sequence[CasePreference]) -> PreferenceCounts:
    """Count cases by their result, and pairs by whether the preference flipped with the order."""
    points = [case.points for case in cases]
    pairs = [pair for case in cases for pair in case.pairs]
    return PreferenceCounts(
        wins=points.count(1),
        ties=points.count(0),
        losses=points.count(-1),
        pairs=len(pairs),
        judged=sum(pair.was_judged for pair in pairs),
        first_flips=sum(pair.flipped == "first" for pair in pairs),
        second_flips=sum(pair.flipped == "second" for pair in pairs),
    )


def describe_preferences(counts: PreferenceCounts) -> str:
    """Return the counts in words: `12 won, 70 tied, 18 lost; the preference flipped in ...`."""
    text = f"{counts.wins:,} won, {counts.ties:,} tied, {counts.losses:,} lost"
    if not counts.judged:
        return f"{text}; no judge was asked"
    judged = format_count(counts.judged, "judged pair")
    if not counts.flips:
        return f"{text}; no preference flipped with the order in {judged}"
    places = (("first", counts.first_flips), ("second", counts.second_flips))
    by_place = ", ".join(f"{number:,} for the {place} answer" for place, number in places if number)
    return f"{text}; the preference flipped with the order in {counts.flips:,} of {judged} ({by_place})"
