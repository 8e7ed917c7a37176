"""`evalkit calibrate`: a judge held against what people said of the same answers, and the result kept."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.cache import Cache, NoCache, cache_folder
from evalkit.calibration import Calibration, CriterionCalibration, find_unmet
from evalkit.digest import digest
from evalkit.errors import InvalidInput, Undecidable
from evalkit.files import write_whole
from evalkit.findings import Calibrated, Disagreement
from evalkit.judgement import CriterionVerdict, JudgeSpec, Reading, Trust
from evalkit.judges import check_judges, open_judges
from evalkit.judging.judge import Judge
from evalkit.judging.labelled import Labelled, find_lacks, group_labels
from evalkit.judging.panel import Panel
from evalkit.judging.scoring import combine_votes
from evalkit.labels import HumanLabel, labels_of, majority
from evalkit.loading.calibrations import calibration_path, load_calibrations, write_calibrations
from evalkit.loading.evalset import load_evalset, load_project_judges
from evalkit.loading.judges import read_judges
from evalkit.loading.labels import load_labels
from evalkit.loading.rubrics import load_rubric
from evalkit.loading.yamlio import parse_yaml
from evalkit.project import find_root
from evalkit.records import Problem, Surroundings
from evalkit.redaction import Redactor
from evalkit.rubric import Criterion, Rubric
from evalkit.sources import shown_path
from evalkit.spelling import count_of
from evalkit.statistics.agreement import compare_raters, flip_rate, measure_agreement
from evalkit.world import World

AT_ONCE = 64
"""Answers put to the judge, which has a limit of its own."""

LEAST_JUDGED = 0.5
"""Of the labelled answers: with fewer, what is missing says more than what is there."""

Verdicts = Mapping[str, CriterionVerdict]
"""By criterion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationOrder:
    """What is to be calibrated: a judge under a rubric, by labels.

    `judge` is written as under `judge:` of a set; empty means that of `evalset`, or of the evalkit.yaml
    above the rubric. Every answer is judged again `repeats` times by fresh calls.
    """

    rubric: Path
    labels: Path
    judge: str = ""
    evalset: Path | None = None
    repeats: int = 0


def calibrate(order: CalibrationOrder, world: World) -> Calibrated:
    """Judge every labelled answer, compare, and store what was found beside the rubric.

    Raises:
        InvalidInput: every problem of rubric, labels and judge.
        Undecidable: too few answers got a verdict.
        StoreError: the result could not be saved.
    """
    root = find_root(order.rubric.parent, world.cwd)
    rubric, labels, passed_by = _read_labels(order)
    surroundings = Surroundings(
        root=root, base=order.rubric.resolve().parent, environ=world.environ
    )
    specs = _find_judge(order, root)
    if problems := check_judges(specs, surroundings):
        raise InvalidInput(problems)
    stored_at = calibration_path(order.rubric)
    earlier, problems = load_calibrations(stored_at)
    if problems:
        raise InvalidInput(problems)
    answers = group_labels(rubric, labels)
    sitting = asyncio.run(_hold_sitting(specs[0], surroundings, answers, order.repeats))
    calibration = _sum_up(order, rubric, labels, answers, sitting)
    _refuse_too_few(rubric, calibration, sitting, len(answers))
    kept = [each for each in earlier if each.judge_digest != calibration.judge_digest]
    write_whole(stored_at, write_calibrations([*kept, calibration]))
    wish = rubric.require_calibration
    costs = [trust.cost_usd for trust in sitting.trusts if trust.cost_usd is not None]
    return Calibrated(
        calibration=calibration,
        answers=len(answers),
        disagreements=tuple(_find_disagreements(rubric, answers, sitting.first)),
        path=shown_path(stored_at),
        unmet=find_unmet(calibration, wish.kappa, wish.labels) if wish else "",
        missing=sitting.missing,
        passed_by=passed_by,
        calls=sum(trust.calls for trust in sitting.trusts),
        cost_usd=sum(costs) if costs else None,
        notes=tuple(_notes(specs, sitting.trusts)),
    )


def _read_labels(
    order: CalibrationOrder,
) -> tuple[Rubric, tuple[HumanLabel, ...], Mapping[str, int]]:
    rubric, problems = load_rubric(order.rubric)
    if rubric is None:
        raise InvalidInput(problems)
    if not rubric.judged:
        raise InvalidInput.single(f"{rubric.path}: its checks decide alone, and no judge is asked.")
    every, problems = load_labels(order.labels, [rubric])
    labels = labels_of(every, rubric.name)
    path = shown_path(order.labels)
    problems = problems or find_lacks(rubric, labels, path)
    if not labels and not problems:
        names = ", ".join(sorted({label.rubric for label in every}))
        message = f"{path}: no label is of rubric {rubric.name!r}; they are of {names}."
        problems = [Problem(message=message)]
    if problems:
        raise InvalidInput(problems)
    others = Counter(label.rubric for label in every if label.rubric != rubric.name)
    return rubric, labels, dict(sorted(others.items()))


def _find_judge(order: CalibrationOrder, root: Path) -> tuple[JudgeSpec, ...]:
    problems: list[Problem] = []
    specs: tuple[JudgeSpec, ...] = ()
    if order.judge:
        node = parse_yaml(order.judge.encode("utf-8", "replace"), "--judge", problems)
        specs = read_judges(node, problems) if node is not None else ()
    elif order.evalset is not None:
        evalset, problems = load_evalset(order.evalset, root=find_root(order.evalset.parent, root))
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
class _Sitting:
    """What a judge said of every answer, in their order, at first and again; None is no verdict."""

    judge: str
    digest: str
    first: tuple[Verdicts | None, ...]
    again: tuple[tuple[Verdicts | None, ...], ...]
    missing: Mapping[str, int]
    trusts: tuple[Trust, ...]


async def _hold_sitting(
    spec: JudgeSpec, surroundings: Surroundings, answers: Sequence[Labelled], repeats: int
) -> _Sitting:
    clean = Redactor(surroundings.environ).clean_text
    async with open_judges([spec], surroundings) as judges:
        (judge,) = judges
        await judge.start()
        kept = Cache(cache_folder(surroundings.root, "verdicts"), Reading)
        first, missing, trust = await _judge_all(judge, kept, clean, answers)
        again, trusts = [], [trust]
        for _ in range(repeats):
            verdicts, _, trust = await _judge_all(judge, NoCache(Reading), clean, answers)
            again.append(verdicts)
            trusts.append(trust)
        if judge.down:
            raise _unreachable(judge)
        return _Sitting(
            judge=judge.name,
            digest=judge.digest,
            first=first,
            again=tuple(again),
            missing=missing,
            trusts=tuple(trusts),
        )


def _unreachable(judge: Judge) -> InvalidInput | Undecidable:
    if judge.refused is not None:
        return InvalidInput([judge.refused])
    return Undecidable(
        f"the judge {judge.name} answers no more ({judge.down}). What it said is kept; try again later."
    )


async def _judge_all(
    judge: Judge, cache: Cache[Reading], clean: Callable[[str], str], answers: Sequence[Labelled]
) -> tuple[tuple[Verdicts | None, ...], Mapping[str, int], Trust]:
    panel = Panel([judge], cache, clean, controls=False)
    room = asyncio.Semaphore(AT_ONCE)
    missing: Counter[str] = Counter()

    async def ask(answer: Labelled) -> Verdicts | None:
        async with room:
            readings = (answer.floor,) if answer.floor else await panel.judge("", answer.question)
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


def _sum_up(
    order: CalibrationOrder,
    rubric: Rubric,
    labels: Sequence[HumanLabel],
    answers: Sequence[Labelled],
    sitting: _Sitting,
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
            _calibrate_criterion(criterion, answers, sitting) for criterion in rubric.judged
        ),
    )


def _calibrate_criterion(
    criterion: Criterion, answers: Sequence[Labelled], sitting: _Sitting
) -> CriterionCalibration:
    name = criterion.name
    levels = [level.name for level in criterion.levels]
    values = [level.value for level in criterion.levels]
    pairs, unjudged, divided = [], 0, 0
    people: dict[str, Mapping[str, str]] = {}
    judged: dict[int, list[str]] = defaultdict(list)
    for index, answer in enumerate(answers):
        given = answer.given(name)
        if not given:
            continue
        people[str(index)] = given
        for verdicts in (sitting.first[index], *(again[index] for again in sitting.again)):
            if verdicts is not None:
                judged[index].append(verdicts[name].level)
        wanted, said = majority(given.values()), sitting.first[index]
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
    rubric: Rubric, calibration: Calibration, sitting: _Sitting, answers: int
) -> None:
    """Raise Undecidable where missing verdicts, not missing labels, leave nothing to go by."""
    wanted = rubric.require_calibration.labels if rubric.require_calibration else 1
    for found in calibration.criteria:
        judged = found.agreement.answers if found.agreement is not None else 0
        could = judged + found.unjudged
        if found.unjudged and (judged < LEAST_JUDGED * could or judged < wanted <= could):
            reason = max(sitting.missing, key=lambda problem: sitting.missing[problem])
            raise Undecidable(
                f"{found.criterion}: {judged} of {could} labelled answers got a verdict, too few to "
                f"calibrate by ({reason}). Nothing was stored; verdicts are kept. Try again."
            )
    if not any(found.agreement for found in calibration.criteria):
        raise Undecidable(
            f"on none of {count_of(answers, 'answer')} do most people give one level. Nothing was stored."
        )


def _find_disagreements(
    rubric: Rubric, answers: Sequence[Labelled], first: Sequence[Verdicts | None]
) -> Iterator[Disagreement]:
    """Where people and judge differ, the furthest apart first, else in the order of the labels."""
    found = []
    for answer, verdicts in zip(answers, first, strict=True):
        for criterion in rubric.judged if verdicts is not None else ():
            wanted = majority(answer.given(criterion.name).values())
            said = verdicts[criterion.name] if verdicts is not None else None
            if wanted is None or said is None or said.level == wanted:
                continue
            level = criterion.level(wanted)
            found.append(
                Disagreement(
                    label=_telling_label(answer, criterion.name, wanted),
                    people=wanted,
                    judge=said.level,
                    distance=abs(said.value - level.value) if level else 0.0,
                    evidence=said.evidence,
                    explanation=said.explanation,
                )
            )
    yield from sorted(found, key=lambda each: -each.distance)


def _telling_label(answer: Labelled, criterion: str, level: str) -> HumanLabel:
    """A label that says what most people say; one with a note, if there is one."""
    same = [each for each in answer.labels if each.criterion == criterion and each.level == level]
    return next((each for each in same if each.note), same[0])


def _notes(specs: Sequence[JudgeSpec], trusts: Sequence[Trust]) -> Iterator[str]:
    if specs[1:]:
        yield (
            f"The first of {len(specs)} judges was calibrated. Each of the others is another judge: name "
            "it with --judge."
        )
    yield from dict.fromkeys(warning for trust in trusts for warning in trust.warnings)
