"""Rank the cases by the probability that their label is wrong, from versions, judges, and raters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
_NUMBERS = 10
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
    whose answer does not fit. The rest is 1 for each kind of answer with a verdict of the judge or of
    people, and the share of the verdicts that accept it.
    """

    versions: float
    fitting: float
    judged_right: float
    accepted_right: float
    judged_wrong: float
    accepted_wrong: float
    rated_right: float
    praised_right: float
    rated_wrong: float
    praised_wrong: float
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
    praises_right: float
    praises_wrong: float


def _rates_without(total: Sequence[float], own: Sequence[float]) -> _CaseRates:
    """Return the rates of all cases but one, given the sums of all and of that one."""
    left = [whole - part for whole, part in zip(total, own, strict=True)]
    sums, again = left[:_NUMBERS], left[_NUMBERS:]
    versions, fitting = sums[:2]
    judged_right, accepted_right, judged_wrong, accepted_wrong = sums[2:6]
    rated_right, praised_right, rated_wrong, praised_wrong = sums[6:]
    size = len(again) // 4
    groups = [again[size * k : size * (k + 1)] for k in range(4)]
    low, high = _ACCURACY_RANGE
    return _CaseRates(
        accuracy=min(high, max(low, (fitting + 1) / (versions + 2))),
        right_again=_share(groups[1], groups[0]),
        wrong_again=_share(groups[3], groups[2]),
        # Two answers of each kind are added, so that a judge of few answers proves little.
        accepts_right=(accepted_right + 2) / (judged_right + 4),
        accepts_wrong=(accepted_wrong + 2) / (judged_wrong + 4),
        praises_right=(praised_right + 2 * (1 - RATER_ERROR)) / (rated_right + 2),
        praises_wrong=(praised_wrong + 2 * RATER_ERROR) / (rated_wrong + 2),
    )


def _share(again: Sequence[float], cases: Sequence[float]) -> list[float]:
    return [
        (part + _PRIOR_CASES) / (whole + _PRIOR_CASES)
        for part, whole in zip(again, cases, strict=True)
    ]


def _flatten(counts: _Counts) -> list[float]:
    parts = [part if isinstance(part, tuple) else (part,) for part in counts]
    return [value for part in parts for value in part]


def rank_suspects(cases: Sequence[CaseEvidence]) -> tuple[SuspectLabel, ...]:
    """Return the cases with any evidence against their label, the most likely wrong one first.

    The odds that a label is wrong are PRIOR_ODDS times three likelihood ratios. Of versions, of which k
    give the same answer A and p one that fits the label, it is exp(g(k) - g(p)), where g(0) = 0 and
    g(n) = log(a / (1 - a)) + max(0, log(s(n) / r(n))): a is the share of versions that are right, s(n)
    the probability that n - 1 others are right if one is, r(n) that they all make the same error if one
    makes it, at least SHARED_ERRORS. A judge that accepts A counts as P(accepts | right) / P(accepts |
    wrong), one that rejects it as P(rejects | right) / P(rejects | wrong), and each rater likewise, with
    RATER_ERROR as long as no other answers are rated. So a rubric that asks for something else than the
    label proves nothing. Verdicts on answers that fit the label count the other way, once for all of
    them. All rates are those of the other cases.
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
    shares = [
        _share_accepted(verdicts)
        for is_right in (True, False)
        for verdicts in _list_verdicts([each for each in case.answers if each.fits == is_right])
    ]
    judged_right, rated_right, judged_wrong, rated_wrong = shares
    # Index 0 is not used, and n versions that agree take n versions.
    known = [0 < n <= versions for n in range(size)]
    return _Counts(
        versions=versions,
        fitting=fitting,
        judged_right=float(judged_right is not None),
        accepted_right=judged_right or 0.0,
        judged_wrong=float(judged_wrong is not None),
        accepted_wrong=judged_wrong or 0.0,
        rated_right=float(rated_right is not None),
        praised_right=rated_right or 0.0,
        rated_wrong=float(rated_wrong is not None),
        praised_wrong=rated_wrong or 0.0,
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


def _list_verdicts(answers: Sequence[AnswerEvidence]) -> tuple[list[bool], list[bool]]:
    """Return the verdicts of the judge and those of people on some answers."""
    judged = [each.judge for each in answers if each.judge is not None]
    rated = [
        verdict
        for each in answers
        for verdict in (*[True] * each.raters_for, *[False] * each.raters_against)
    ]
    return judged, rated


def _share_accepted(verdicts: Sequence[bool]) -> float | None:
    return sum(verdicts) / len(verdicts) if verdicts else None


def _join_answers(answers: Sequence[AnswerEvidence]) -> AnswerEvidence:
    """Return several answers that fit the label as one: a judge that errs on one errs on the others."""
    judged, _ = _list_verdicts(answers)
    share = _share_accepted(judged)
    return AnswerEvidence(
        answer="",
        fits=True,
        versions=sum(each.versions for each in answers),
        agents=max((each.agents for each in answers), default=1),
        judge=None if share in (None, 0.5) else (share or 0.0) > 0.5,
        raters_for=max((each.raters_for for each in answers), default=0),
        raters_against=max((each.raters_against for each in answers), default=0),
    )


def _judge_label(case: CaseEvidence, rates: _CaseRates) -> Iterator[SuspectLabel]:
    """Yield the chance that the label is wrong for each answer that could be right instead."""
    fitting = _join_answers([each for each in case.answers if each.fits])
    shared = log(PRIOR_ODDS) - _weigh(fitting, rates)
    for each in case.answers:
        if not each.fits:
            yield _build_suspect(case, shared + _weigh(each, rates), each)
    if fitting.judge is False or fitting.raters_against:
        yield _build_suspect(case, shared, fitting)


def _weigh(answer: AnswerEvidence, rates: _CaseRates) -> float:
    """Return the logarithm of the likelihood ratio of all evidence on an answer: that it is right."""
    versions = _version_evidence(answer.versions, answer.agents, rates)
    return versions + _verdict_evidence(answer, rates)


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
    praise, blame = _log_ratios(rates.praises_right, rates.praises_wrong)
    people = answer.raters_for * praise + answer.raters_against * blame
    if answer.judge is None:
        return people
    accepts, rejects = _log_ratios(rates.accepts_right, rates.accepts_wrong)
    return people + (accepts if answer.judge else rejects)


def _log_ratios(right: float, wrong: float) -> tuple[float, float]:
    """Return what a verdict for an answer counts, and one against it; never the other way round."""
    return max(0.0, log(right / wrong)), min(0.0, log((1 - right) / (1 - wrong)))


def _build_suspect(case: CaseEvidence, log_odds: float, answer: AnswerEvidence) -> SuspectLabel:
    return SuspectLabel(
        case_id=case.case_id,
        label=case.label,
        answer=answer.answer,
        chance=1 / (1 + exp(-log_odds)),
        versions=0 if answer.fits else answer.versions,
        fitting_versions=case.fitting_versions,
        all_versions=case.versions,
        judge=answer.judge,
        raters_for=answer.raters_for,
        raters_against=answer.raters_against,
    )
