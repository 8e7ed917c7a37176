"""Rank the cases by the probability that their label is wrong, from versions, judges, and raters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import comb, exp, fsum, log
from typing import NamedTuple

PRIOR_ODDS = 0.033 / 0.967
"""The odds of a wrong label before any evidence: 3.3 % are, on average over ten well-known test sets
(Northcutt, Athalye and Mueller 2021, arXiv 2103.14749)."""

RATER_ERROR = 0.05
"""The probability that a person rates an answer wrongly: people agree at a kappa of .85 to .88."""

SHARED_ERRORS = 0.7
"""The least probability that all versions of one agent make the same error if one of them makes it.

It halves for every further agent that makes it, because other agents err in other ways. Without it,
a case that is too hard for an agent would look like a wrong label in every set whose other errors vary."""


_ACCURACY_RANGE = (0.05, 0.95)
_PRIOR_CASES = 1.0
"""The weight in cases of the assumption that versions share their errors. Only the store can show more
independence, so versions that agree everywhere prove no label wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerEvidence:
    """One answer to a case, and who gave or accepted it.

    `fits` says whether the metrics that compare with the label accept it. `versions` gave it as their
    most common answer; they are versions of `agents` different agents. `judge` is the verdict of most trials, None if there is none.
    """

    answer: str
    fits: bool
    versions: int = 0
    agents: int = 1
    judge: bool | None = None
    raters_for: int = 0
    raters_against: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseEvidence:
    """The different answers to one case."""

    case_id: str
    label: str
    answers: tuple[AnswerEvidence, ...]

    @property
    def fitting_versions(self) -> int:
        """How many versions give an answer that the label accepts."""
        return sum(each.versions for each in self.answers if each.fits)

    @property
    def fitting_agents(self) -> int:
        """How many agents these versions are of, at least."""
        return max((each.agents for each in self.answers if each.fits), default=1)

    @property
    def versions(self) -> int:
        """How many versions answered."""
        return sum(each.versions for each in self.answers)


@dataclass(frozen=True, kw_only=True, slots=True)
class SuspectLabel:
    """How likely the label of a case is wrong, and which answer would be right instead.

    `answer` is empty if answers that fit the label are rejected and no other answer is better. `versions`
    of `all_versions` give it, and `fitting_versions` give one that fits. `judge` says whether the judge
    accepts it. The raters are those for and against it; without an answer, everything is about the
    answers that fit.
    """

    case_id: str
    label: str
    answer: str
    chance: float
    versions: int
    fitting_versions: int
    all_versions: int
    judge: bool | None
    raters_for: int
    raters_against: int

    @property
    def is_suspect(self) -> bool:
        """Whether the label is more likely wrong than right."""
        return self.chance > 0.5


class _Counts(NamedTuple):
    """What one case says about versions and judges, if its label is right; sums of it give the rates.

    `right_again[n]` is the probability that n - 1 other versions agree with one whose answer fits, and
    `right_cases[n]` is 1 if that is known; `wrong_again` and `wrong_cases` are the same for versions
    whose answer does not fit. The rest counts answers with a verdict, and those that the judge accepts.
    """

    versions: float
    fitting: float
    judged_right: float
    accepted_right: float
    judged_wrong: float
    accepted_wrong: float
    right_cases: tuple[float, ...]
    right_again: tuple[float, ...]
    wrong_cases: tuple[float, ...]
    wrong_again: tuple[float, ...]


class _CaseRates(NamedTuple):
    """The rates for one case: `accuracy` is the share of versions that are right, and so on."""

    accuracy: float
    right_again: Sequence[float]
    wrong_again: Sequence[float]
    accepts_right: float
    accepts_wrong: float


def _rates_without(total: Sequence[float], own: Sequence[float]) -> _CaseRates:
    """Return the rates of all cases but one, given the sums of all and of that one."""
    left = [whole - part for whole, part in zip(total, own, strict=True)]
    versions, fitting, judged_right, accepted_right, judged_wrong, accepted_wrong = left[:6]
    size = len(left[6:]) // 4
    groups = [left[6 + size * k : 6 + size * (k + 1)] for k in range(4)]
    low, high = _ACCURACY_RANGE
    return _CaseRates(
        accuracy=min(high, max(low, (fitting + 1) / (versions + 2))),
        right_again=_share(groups[1], groups[0]),
        wrong_again=_share(groups[3], groups[2]),
        # Two answers of each kind are added, so that a judge of few answers proves little.
        accepts_right=(accepted_right + 2) / (judged_right + 4),
        accepts_wrong=(accepted_wrong + 2) / (judged_wrong + 4),
    )


def _share(again: Sequence[float], cases: Sequence[float]) -> list[float]:
    return [
        (part + _PRIOR_CASES) / (whole + _PRIOR_CASES)
        for part, whole in zip(again, cases, strict=True)
    ]


def _flatten(counts: _Counts) -> list[float]:
    return [
        *counts[:6],
        *counts.right_cases,
        *counts.right_again,
        *counts.wrong_cases,
        *counts.wrong_again,
    ]


def rank_suspects(cases: Sequence[CaseEvidence]) -> tuple[SuspectLabel, ...]:
    """Return the cases with any evidence against their label, the most likely wrong one first.

    The odds that a label is wrong are PRIOR_ODDS times three likelihood ratios. Of versions, of which k
    give the same answer A and p one that fits the label, it is exp(g(k) - g(p)), where g(0) = 0 and
    g(n) = log(a / (1 - a)) + max(0, log(s(n) / r(n))): a is the share of versions that are right, s(n)
    the probability that n - 1 others are right if one is, r(n) that they all make the same error if one
    makes it, at least SHARED_ERRORS. A judge that accepts A counts as P(accepts | right) / P(accepts | wrong), and one that rejects it
    likewise; each rater counts as (1 - e) / e with e = RATER_ERROR. Verdicts on answers that fit the
    label count the other way. All rates are those of the other cases.
    """
    if not cases:
        return ()
    size = max(case.versions for case in cases) + 1
    rows = [_flatten(_count_case(case, size)) for case in cases]
    total = [fsum(column) for column in zip(*rows, strict=True)]
    found = []
    for case, own in zip(cases, rows, strict=True):
        suspects = list(_judge_label(case, _rates_without(total, own)))
        if suspects:
            found.append(max(suspects, key=lambda each: each.chance))
    return tuple(sorted(found, key=lambda each: -each.chance))


def _count_case(case: CaseEvidence, size: int) -> _Counts:
    fitting, versions = case.fitting_versions, case.versions
    wrong = [each.versions for each in case.answers if not each.fits and each.versions]
    judged = [each for each in case.answers if each.judge is not None]
    right_of = [bool(each.judge) for each in judged if each.fits]
    wrong_of = [bool(each.judge) for each in judged if not each.fits]
    # Index 0 is not used, and n versions that agree take n versions.
    known = [0 < n <= versions for n in range(size)]
    return _Counts(
        versions=versions,
        fitting=fitting,
        judged_right=len(right_of),
        accepted_right=sum(right_of),
        judged_wrong=len(wrong_of),
        accepted_wrong=sum(wrong_of),
        right_cases=tuple(float(each and fitting > 0) for each in known),
        right_again=tuple(
            comb(fitting - 1, n - 1) / comb(versions - 1, n - 1) if each and fitting else 0.0
            for n, each in enumerate(known)
        ),
        wrong_cases=tuple(float(each and bool(wrong)) for each in known),
        wrong_again=tuple(
            sum(w * comb(w - 1, n - 1) for w in wrong) / (sum(wrong) * comb(versions - 1, n - 1))
            if each and wrong
            else 0.0
            for n, each in enumerate(known)
        ),
    )


def _judge_label(case: CaseEvidence, rates: _CaseRates) -> Iterator[SuspectLabel]:
    """Yield the chance that the label is wrong for each answer that could be right instead."""
    fitting = [each for each in case.answers if each.fits]
    shared = (
        log(PRIOR_ODDS)
        - _version_evidence(case.fitting_versions, case.fitting_agents, rates)
        - sum(_verdict_evidence(each, rates) for each in fitting)
    )
    for each in case.answers:
        if not each.fits:
            evidence = _version_evidence(each.versions, each.agents, rates) + _verdict_evidence(
                each, rates
            )
            yield _build_suspect(case, shared + evidence, each, [each])
    rejected = any(each.judge is False or each.raters_against for each in fitting)
    if rejected:
        yield _build_suspect(case, shared, None, fitting)


def _version_evidence(versions: int, agents: int, rates: _CaseRates) -> float:
    """Return the logarithm of the likelihood ratio of versions that agree: that they are right."""
    if not versions:
        return 0.0
    first = log(rates.accuracy / (1 - rates.accuracy))
    if versions == 1:
        return first
    shared = max(rates.wrong_again[versions], SHARED_ERRORS * 0.5 ** (agents - 1))
    # That further versions agree never counts against them.
    return first + max(0.0, log(rates.right_again[versions] / shared))


def _verdict_evidence(answer: AnswerEvidence, rates: _CaseRates) -> float:
    """Return the logarithm of the likelihood ratio of verdicts on an answer: that it is right."""
    people = (answer.raters_for - answer.raters_against) * log((1 - RATER_ERROR) / RATER_ERROR)
    if answer.judge is None:
        return people
    right, wrong = rates.accepts_right, rates.accepts_wrong
    return people + (log(right / wrong) if answer.judge else log((1 - right) / (1 - wrong)))


def _build_suspect(
    case: CaseEvidence,
    log_odds: float,
    answer: AnswerEvidence | None,
    about: Iterable[AnswerEvidence],
) -> SuspectLabel:
    about = list(about)
    verdicts = {each.judge for each in about if each.judge is not None}
    return SuspectLabel(
        case_id=case.case_id,
        label=case.label,
        answer=answer.answer if answer else "",
        chance=1 / (1 + exp(-log_odds)),
        versions=answer.versions if answer else 0,
        fitting_versions=case.fitting_versions,
        all_versions=case.versions,
        judge=verdicts.pop() if len(verdicts) == 1 else None,
        raters_for=sum(each.raters_for for each in about),
        raters_against=sum(each.raters_against for each in about),
    )
