"""`evalkit calibrate`: a judge held against what people said of the same answers, and the result kept."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.calibration import Calibration, CriterionCalibration, find_unmet_requirement
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, Undecidable
from evalkit.core.files import write_atomically
from evalkit.core.format import format_count
from evalkit.core.judgement import CriterionVerdict, JudgeSpec, JudgeTrust, JudgeVote
from evalkit.core.labels import HumanLabel, filter_labels, find_majority
from evalkit.core.location import Problem
from evalkit.core.project import find_project_root
from evalkit.core.redaction import Redactor
from evalkit.core.rubric import Criterion, Rubric
from evalkit.core.run import RunEnvironment
from evalkit.core.serialization import digest
from evalkit.core.source_files import display_path
from evalkit.evalset.calibrations import (
    find_calibration_path,
    format_calibrations,
    load_calibrations,
)
from evalkit.evalset.judges import read_judges
from evalkit.evalset.labels import load_labels
from evalkit.evalset.loader import load_evalset, load_project_judges
from evalkit.evalset.rubrics import load_rubric
from evalkit.evalset.yaml import parse_yaml
from evalkit.judge.anchors import LabelledAnswer, find_missing_fields, group_labels
from evalkit.judge.judge import Judge
from evalkit.judge.panel import Panel
from evalkit.judge.registry import check_judges, open_judges
from evalkit.judge.scoring import combine_votes
from evalkit.report.calibration import CalibrationResult, Disagreement
from evalkit.stats.agreement import compare_raters, flip_rate, measure_agreement
from evalkit.store.cache import Cache, NoCache, cache_folder

CONCURRENCY = 64
"""Answers put to the judge, which has a limit of its own."""

MIN_JUDGED_SHARE = 0.5
"""Of the labelled answers: with fewer, what is missing says more than what is there."""

VerdictsByCriterion = Mapping[str, CriterionVerdict]
"""By criterion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationRequest:
    """What is to be calibrated: a judge under a rubric, by labels.

    `judge` is written as under `judge:` of a set; empty means that of `evalset`, or of the evalkit.yaml
    above the rubric. Every answer is judged again `repeats` times by fresh calls.
    """

    rubric: Path
    labels: Path
    judge: str = ""
    evalset: Path | None = None
    repeats: int = 0


def calibrate(order: CalibrationRequest, world: Context) -> CalibrationResult:
    """Judge every labelled answer, compare, and store what was found beside the rubric.

    Raises:
        InvalidInput: every problem of rubric, labels and judge.
        Undecidable: too few answers got a verdict.
        StoreError: the result could not be saved.
    """
    root = find_project_root(order.rubric.parent, world.cwd)
    rubric, labels, passed_by = _read_labels(order)
    surroundings = RunEnvironment(
        root=root, set_folder=order.rubric.resolve().parent, environ=world.environ
    )
    specs = _find_judge(order, root)
    if problems := check_judges(specs, surroundings):
        raise InvalidInput(problems)
    stored_at = find_calibration_path(order.rubric)
    earlier, problems = load_calibrations(stored_at)
    if problems:
        raise InvalidInput(problems)
    answers = group_labels(rubric, labels)
    sitting = asyncio.run(_judge_answers(specs[0], surroundings, answers, order.repeats))
    calibration = _build_calibration(order, rubric, labels, answers, sitting)
    _refuse_too_few(rubric, calibration, sitting, len(answers))
    kept = [each for each in earlier if each.judge_digest != calibration.judge_digest]
    write_atomically(stored_at, format_calibrations([*kept, calibration]))
    wish = rubric.require_calibration
    costs = [trust.cost_usd for trust in sitting.trusts if trust.cost_usd is not None]
    return CalibrationResult(
        calibration=calibration,
        answers=len(answers),
        disagreements=tuple(_find_disagreements(rubric, answers, sitting.first)),
        path=display_path(stored_at),
        unmet=find_unmet_requirement(calibration, wish.kappa, wish.labels) if wish else "",
        missing=sitting.missing,
        passed_by=passed_by,
        calls=sum(trust.calls for trust in sitting.trusts),
        cost_usd=sum(costs) if costs else None,
        notes=tuple(_notes(specs, sitting.trusts)),
    )


def _read_labels(
    order: CalibrationRequest,
) -> tuple[Rubric, tuple[HumanLabel, ...], Mapping[str, int]]:
    rubric, problems = load_rubric(order.rubric)
    if rubric is None:
        raise InvalidInput(problems)
    if not rubric.judged_criteria:
        raise InvalidInput.single(f"{rubric.path}: its checks decide alone, and no judge is asked.")
    every, problems = load_labels(order.labels, [rubric])
    labels = filter_labels(every, rubric.name)
    path = display_path(order.labels)
    problems = problems or find_missing_fields(rubric, labels, path)
    if not labels and not problems:
        names = ", ".join(sorted({label.rubric for label in every}))
        message = f"{path}: no label is of rubric {rubric.name!r}; they are of {names}."
        problems = [Problem(message=message)]
    if problems:
        raise InvalidInput(problems)
    others = Counter(label.rubric for label in every if label.rubric != rubric.name)
    return rubric, labels, dict(sorted(others.items()))


def _find_judge(order: CalibrationRequest, root: Path) -> tuple[JudgeSpec, ...]:
    problems: list[Problem] = []
    specs: tuple[JudgeSpec, ...] = ()
    if order.judge:
        node = parse_yaml(order.judge.encode("utf-8", "replace"), "--judge", problems)
        specs = read_judges(node, problems) if node is not None else ()
    elif order.evalset is not None:
        evalset, problems = load_evalset(
            order.evalset, root=find_project_root(order.evalset.parent, root)
        )
        specs = evalset.judges
    else:
        specs = load_project_judges(order.rubric, root, problems)
    if not specs and not problems:
        message = (
            "no judge is named. Add --judge lexical, --judge '{openai: {model: gpt-4o-mini}}', --set with "
            "an eval set that has one, or `judge:` to evalkit.yaml."
        )
        problems = [Problem(message=message)]
    if problems:
        raise InvalidInput(problems)
    return specs


@dataclass(frozen=True, kw_only=True, slots=True)
class _JudgedAnswers:
    """What a judge said of every answer, in their order, at first and again; None is no verdict."""

    judge: str
    digest: str
    first: tuple[VerdictsByCriterion | None, ...]
    repeats: tuple[tuple[VerdictsByCriterion | None, ...], ...]
    missing: Mapping[str, int]
    trusts: tuple[JudgeTrust, ...]


async def _judge_answers(
    spec: JudgeSpec, surroundings: RunEnvironment, answers: Sequence[LabelledAnswer], repeats: int
) -> _JudgedAnswers:
    clean = Redactor(surroundings.environ).redact_text
    async with open_judges([spec], surroundings) as judges:
        (judge,) = judges
        await judge.start()
        kept = Cache(cache_folder(surroundings.root, "verdicts"), JudgeVote)
        first, missing, trust = await _judge_all(judge, kept, clean, answers)
        again, trusts = [], [trust]
        for _ in range(repeats):
            verdicts, _, trust = await _judge_all(judge, NoCache(JudgeVote), clean, answers)
            again.append(verdicts)
            trusts.append(trust)
        if judge.down_reason:
            raise _unreachable_error(judge)
        return _JudgedAnswers(
            judge=judge.name,
            digest=judge.digest,
            first=first,
            repeats=tuple(again),
            missing=missing,
            trusts=tuple(trusts),
        )


def _unreachable_error(judge: Judge) -> InvalidInput | Undecidable:
    if judge.problem_to_fix is not None:
        return InvalidInput([judge.problem_to_fix])
    return Undecidable(
        f"the judge {judge.name} answers no more ({judge.down_reason}). What it said is kept; try again later."
    )


async def _judge_all(
    judge: Judge,
    cache: Cache[JudgeVote],
    clean: Callable[[str], str],
    answers: Sequence[LabelledAnswer],
) -> tuple[tuple[VerdictsByCriterion | None, ...], Mapping[str, int], JudgeTrust]:
    panel = Panel([judge], cache, clean, controls=False)
    room = asyncio.Semaphore(CONCURRENCY)
    missing: Counter[str] = Counter()

    async def ask(answer: LabelledAnswer) -> VerdictsByCriterion | None:
        async with room:
            readings = (
                (answer.empty_answer_vote,)
                if answer.empty_answer_vote
                else await panel.collect_votes("", answer.question)
            )
        lost = next((reading for reading in readings if reading.state != "scored"), None)
        if lost is not None:
            missing[lost.problem] += 1
            return None
        verdicts = combine_votes(answer.question.criteria, readings)
        return {verdict.criterion: verdict for verdict in verdicts}

    try:
        verdicts = await asyncio.gather(*map(ask, answers))
        return tuple(verdicts), dict(missing), await panel.finish()
    finally:
        panel.cancel()


def _build_calibration(
    order: CalibrationRequest,
    rubric: Rubric,
    labels: Sequence[HumanLabel],
    answers: Sequence[LabelledAnswer],
    sitting: _JudgedAnswers,
) -> Calibration:
    return Calibration(
        rubric=rubric.name,
        rubric_digest=rubric.digest,
        judge=sitting.judge,
        judge_digest=sitting.digest,
        labels=digest(sorted([label.id, label.rater, label.level] for label in labels)),
        source=os.path.relpath(order.labels, order.rubric.parent),
        raters=tuple(sorted({label.rater for label in labels if label.rater})),
        models=tuple(sorted({model for trust in sitting.trusts for model in trust.models})),
        repeats=order.repeats,
        criteria=tuple(
            _calibrate_criterion(criterion, answers, sitting)
            for criterion in rubric.judged_criteria
        ),
    )


def _calibrate_criterion(
    criterion: Criterion, answers: Sequence[LabelledAnswer], sitting: _JudgedAnswers
) -> CriterionCalibration:
    name = criterion.name
    levels = [level.name for level in criterion.levels]
    values = [level.value for level in criterion.levels]
    pairs, unjudged, divided = [], 0, 0
    people: dict[str, Mapping[str, str]] = {}
    judged: dict[int, list[str]] = defaultdict(list)
    for index, answer in enumerate(answers):
        given = answer.levels_by_rater(name)
        if not given:
            continue
        people[str(index)] = given
        for verdicts in (sitting.first[index], *(again[index] for again in sitting.repeats)):
            if verdicts is not None:
                judged[index].append(verdicts[name].level)
        wanted, said = find_majority(given.values()), sitting.first[index]
        divided += wanted is None
        unjudged += said is None
        if wanted is not None and said is not None:
            pairs.append((wanted, said[name].level))
    return CriterionCalibration(
        criterion=name,
        agreement=measure_agreement(pairs, levels, values) if pairs else None,
        unjudged=unjudged,
        divided=divided,
        flip_rate=flip_rate(judged.values()),
        people=compare_raters(people, levels, values),
    )


def _refuse_too_few(
    rubric: Rubric, calibration: Calibration, sitting: _JudgedAnswers, answers: int
) -> None:
    """Raise Undecidable where missing verdicts, not missing labels, leave nothing to go by."""
    wanted = rubric.require_calibration.labels if rubric.require_calibration else 1
    for found in calibration.criteria:
        judged = found.agreement.answers if found.agreement is not None else 0
        could = judged + found.unjudged
        if found.unjudged and (judged < MIN_JUDGED_SHARE * could or judged < wanted <= could):
            reason = max(sitting.missing, key=lambda problem: sitting.missing[problem])
            raise Undecidable(
                f"{found.criterion}: {judged} of {could} labelled answers got a verdict, too few to "
                f"calibrate by ({reason}). Nothing was stored; verdicts are kept. Try again."
            )
    if not any(found.agreement for found in calibration.criteria):
        raise Undecidable(
            f"on none of {format_count(answers, 'answer')} do most people give one level. Nothing was stored."
        )


def _find_disagreements(
    rubric: Rubric, answers: Sequence[LabelledAnswer], first: Sequence[VerdictsByCriterion | None]
) -> Iterator[Disagreement]:
    """Where people and judge differ, the furthest apart first, else in the order of the labels."""
    found = []
    for answer, verdicts in zip(answers, first, strict=True):
        for criterion in rubric.judged_criteria if verdicts is not None else ():
            wanted = find_majority(answer.levels_by_rater(criterion.name).values())
            said = verdicts[criterion.name] if verdicts is not None else None
            if wanted is None or said is None or said.level == wanted:
                continue
            level = criterion.level(wanted)
            found.append(
                Disagreement(
                    label=_pick_label(answer, criterion.name, wanted),
                    people=wanted,
                    judge=said.level,
                    distance=abs(said.value - level.value) if level else 0.0,
                    evidence=said.evidence,
                    explanation=said.explanation,
                )
            )
    yield from sorted(found, key=lambda each: -each.distance)


def _pick_label(answer: LabelledAnswer, criterion: str, level: str) -> HumanLabel:
    """A label that says what most people say; one with a note, if there is one."""
    same = [each for each in answer.labels if each.criterion == criterion and each.level == level]
    return next((each for each in same if each.note), same[0])


def _notes(specs: Sequence[JudgeSpec], trusts: Sequence[JudgeTrust]) -> Iterator[str]:
    if specs[1:]:
        yield (
            f"The first of {len(specs)} judges was calibrated. Each of the others is another judge: name "
            "it with --judge."
        )
    yield from dict.fromkeys(warning for trust in trusts for warning in trust.warnings)
