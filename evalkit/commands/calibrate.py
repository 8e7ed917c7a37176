"""`evalkit calibrate`: compare a judge with human labels of the same answers, and store the result."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.commands.judged_answers import JudgedAnswers, VerdictsByCriterion, judge_answers
from evalkit.core.calibration import (
    Calibration,
    CriterionCalibration,
    find_unmet_requirement,
)
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, Undecidable
from evalkit.core.files import write_atomically
from evalkit.core.format import format_count
from evalkit.core.judgement import JudgeSpec, JudgeTrust
from evalkit.core.labels import HumanLabel, filter_labels, find_majority
from evalkit.core.location import Problem
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
from evalkit.evalset.loader import load_project
from evalkit.evalset.project import Project
from evalkit.evalset.rubrics import load_rubric
from evalkit.evalset.yaml import parse_yaml
from evalkit.judge.anchors import LabeledAnswer, find_missing_fields, group_labels
from evalkit.judge.registry import check_judges
from evalkit.report.calibration import CalibrationResult, Disagreement
from evalkit.runner.signals import run_stoppable
from evalkit.stats.agreement import (
    compare_raters,
    compare_with_people,
    flip_rate,
    measure_agreement,
)

MIN_JUDGED_SHARE = 0.5
"""The share of labeled answers that need a verdict; with fewer, the missing ones could matter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationRequest:
    """A judge to calibrate under a rubric, and the labels to compare it with.

    `judge` is written as under `judge:` of a set; empty means the judge of `evalset`, or of the
    evalkit.yaml above the rubric. Every answer is judged `repeats` more times with fresh calls.
    """

    rubric: Path
    labels: Path
    judge: str = ""
    evalset: Path | None = None
    repeats: int = 0


def calibrate(request: CalibrationRequest, context: Context) -> CalibrationResult:
    """Judge every labeled answer, compare with its labels, and store the result next to the rubric.

    Raises:
        InvalidInput: lists every problem of rubric, labels, and judge.
        Interrupted: by a signal; the verdicts so far are cached.
        Undecidable: too few answers got a verdict.
        StoreError: the result could not be saved.
    """
    project = Project.open(context, request.rubric)
    rubric, labels, other_labels = _read_labels(request)
    environment = RunEnvironment(
        root=project.root, set_folder=request.rubric.resolve().parent, environ=context.environ
    )
    specs = _find_judge(request, project)
    if problems := check_judges(specs, environment):
        raise InvalidInput(problems)
    stored_at = find_calibration_path(request.rubric)
    earlier, problems = load_calibrations(stored_at)
    if problems:
        raise InvalidInput(problems)
    answers = group_labels(rubric, labels)
    judged = asyncio.run(
        run_stoppable(
            lambda stop: judge_answers(
                _find_calibrated(specs), environment, answers, request.repeats, stop
            )
        )
    )
    calibration = _build_calibration(request, rubric, labels, answers, judged)
    _refuse_too_few(rubric, calibration, judged, len(answers))
    # One calibration per judge: a new one replaces that of the same judge.
    others = [each for each in earlier if each.judge_digest != calibration.judge_digest]
    write_atomically(stored_at, format_calibrations([*others, calibration]))
    judged.unfinished.forget()
    required = rubric.require_calibration
    costs = [trust.cost_usd for trust in judged.trusts if trust.cost_usd is not None]
    return CalibrationResult(
        calibration=calibration,
        answers=len(answers),
        disagreements=tuple(_find_disagreements(rubric, answers, judged.first)),
        path=display_path(stored_at),
        unmet=(
            find_unmet_requirement(calibration, required.kappa, required.labels) if required else ""
        ),
        missing=judged.missing,
        cached_verdicts=judged.kept,
        passed_by=other_labels,
        calls=sum(trust.calls for trust in judged.trusts),
        input_tokens=sum(trust.input_tokens for trust in judged.trusts),
        cached_tokens=sum(trust.cached_tokens for trust in judged.trusts),
        cost_usd=sum(costs) if costs else None,
        notes=tuple(_notes(specs, judged.trusts)),
    )


def _read_labels(
    request: CalibrationRequest,
) -> tuple[Rubric, tuple[HumanLabel, ...], Mapping[str, int]]:
    rubric, problems = load_rubric(request.rubric)
    if rubric is None:
        raise InvalidInput(problems)
    if not rubric.judged_criteria:
        raise InvalidInput.single(
            f"{rubric.path}: all its criteria are checks, so there is no judge to calibrate."
        )
    every, problems = load_labels(request.labels, [rubric])
    labels = filter_labels(every, rubric.name)
    path = display_path(request.labels)
    problems = problems or find_missing_fields(rubric, labels, path)
    if not labels and not problems:
        names = ", ".join(sorted({label.rubric for label in every}))
        message = f"{path}: there are no labels for rubric {rubric.name!r}, only for {names}."
        problems = [Problem(message=message)]
    if problems:
        raise InvalidInput(problems)
    others = Counter(label.rubric for label in every if label.rubric != rubric.name)
    return rubric, labels, dict(sorted(others.items()))


def _find_judge(request: CalibrationRequest, project: Project) -> tuple[JudgeSpec, ...]:
    problems: list[Problem] = []
    specs: tuple[JudgeSpec, ...] = ()
    if request.judge:
        node = parse_yaml(request.judge.encode("utf-8", "replace"), "--judge", problems)
        specs = read_judges(node, problems) if node is not None else ()
    elif request.evalset is not None:
        # The set may belong to another project than the rubric.
        set_project = Project(request.evalset.parent, project.root, project.environ)
        evalset, problems = set_project.load(request.evalset)
        specs = evalset.judges
    else:
        specs = load_project(request.rubric, project.root, problems).judges or ()
    if not specs and not problems:
        message = (
            "no judge is named. Add --judge lexical, --judge '{openai: {model: gpt-4o-mini}}', --set with "
            "an eval set that has a judge, or `judge:` to evalkit.yaml."
        )
        problems = [Problem(message=message)]
    if problems:
        raise InvalidInput(problems)
    return specs


def _find_calibrated(specs: Sequence[JudgeSpec]) -> Sequence[JudgeSpec]:
    """Return the judges to calibrate: all of a jury, else the first one without its fallbacks."""
    return specs if specs[0].jury else specs[:1]


def _build_calibration(
    request: CalibrationRequest,
    rubric: Rubric,
    labels: Sequence[HumanLabel],
    answers: Sequence[LabeledAnswer],
    judged: JudgedAnswers,
) -> Calibration:
    return Calibration(
        rubric=rubric.name,
        rubric_digest=rubric.digest,
        judge=judged.judge,
        judge_digest=judged.digest,
        labels=digest(sorted([label.id, label.rater, label.level] for label in labels)),
        source=os.path.relpath(request.labels, request.rubric.parent),
        raters=tuple(sorted({label.rater for label in labels if label.rater})),
        models=tuple(sorted({model for trust in judged.trusts for model in trust.models})),
        repeats=request.repeats,
        criteria=tuple(
            _calibrate_criterion(criterion, answers, judged) for criterion in rubric.judged_criteria
        ),
    )


def _calibrate_criterion(
    criterion: Criterion, answers: Sequence[LabeledAnswer], judged: JudgedAnswers
) -> CriterionCalibration:
    name = criterion.name
    levels = [level.name for level in criterion.levels]
    values = [level.value for level in criterion.levels]
    pairs, unjudged, divided = [], 0, 0
    people: dict[str, Mapping[str, str]] = {}
    levels_given: dict[int, list[str]] = defaultdict(list)
    for index, answer in enumerate(answers):
        given = answer.levels_by_rater(name)
        if not given:
            continue
        people[str(index)] = given
        for verdicts in (judged.first[index], *(again[index] for again in judged.repeats)):
            if verdicts is not None:
                levels_given[index].append(verdicts[name].level)
        majority, first = find_majority(given.values()), judged.first[index]
        divided += majority is None
        unjudged += first is None
        if majority is not None and first is not None:
            pairs.append((majority, first[name].level))
    jurors = {
        str(index): by_criterion[name]
        for index, by_criterion in enumerate(judged.jurors)
        if name in by_criterion
    }
    return CriterionCalibration(
        criterion=name,
        agreement=measure_agreement(pairs, levels, values) if pairs else None,
        unjudged=unjudged,
        divided=divided,
        flip_rate=flip_rate(levels_given.values()),
        people=compare_raters(people, levels, values),
        jurors=(
            *compare_with_people(people, jurors, levels, values),
            *(
                each
                for each in compare_raters(jurors, levels, values)
                if not each.is_against_majority
            ),
        ),
    )


def _refuse_too_few(
    rubric: Rubric, calibration: Calibration, verdicts: JudgedAnswers, answers: int
) -> None:
    """Raise Undecidable if missing verdicts, not missing labels, leave too few answers."""
    needed = rubric.require_calibration.labels if rubric.require_calibration else 1
    for found in calibration.criteria:
        judged = found.agreement.answers if found.agreement is not None else 0
        total = judged + found.unjudged
        if found.unjudged and (judged < MIN_JUDGED_SHARE * total or judged < needed <= total):
            reason = max(verdicts.missing, key=lambda problem: verdicts.missing[problem])
            raise Undecidable(
                f"{found.criterion}: {judged} of {total} labeled answers got a verdict, too few for a "
                f"calibration ({reason}). Nothing was stored; the verdicts are cached. Try again."
            )
    if not any(found.agreement for found in calibration.criteria):
        raise Undecidable(
            f"none of {format_count(answers, 'answer')} has a level that most people gave. Nothing was "
            "stored. Add labels."
        )


def _find_disagreements(
    rubric: Rubric, answers: Sequence[LabeledAnswer], first: Sequence[VerdictsByCriterion | None]
) -> Iterator[Disagreement]:
    """Yield the answers on which people and judge differ, largest distance first."""
    found = []
    for answer, verdicts in zip(answers, first, strict=True):
        if verdicts is None:
            continue
        for criterion in rubric.judged_criteria:
            majority = find_majority(answer.levels_by_rater(criterion.name).values())
            verdict = verdicts[criterion.name]
            if majority is None or verdict.level == majority:
                continue
            level = criterion.level(majority)
            found.append(
                Disagreement(
                    label=_pick_label(answer, criterion.name, majority),
                    people=majority,
                    judge=verdict.level,
                    distance=abs(verdict.value - level.value) if level else 0.0,
                    evidence=verdict.evidence,
                    explanation=verdict.explanation,
                )
            )
    yield from sorted(found, key=lambda each: -each.distance)  # stable: keeps the labels' order


def _pick_label(answer: LabeledAnswer, criterion: str, level: str) -> HumanLabel:
    """Return a label with a level, preferably one with a note."""
    same = [each for each in answer.labels if each.criterion == criterion and each.level == level]
    return next((each for each in same if each.note), same[0])


def _notes(specs: Sequence[JudgeSpec], trusts: Sequence[JudgeTrust]) -> Iterator[str]:
    if _find_calibrated(specs) != specs:
        yield (
            f"Only the first of {len(specs)} judges was calibrated. To calibrate another one, name it "
            "with --judge."
        )
    yield from dict.fromkeys(warning for trust in trusts for warning in trust.warnings)
