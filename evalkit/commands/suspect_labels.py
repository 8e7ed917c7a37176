"""`evalkit show --suspect-labels`: the cases whose label is probably wrong, from all stored answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from evalkit.commands.labeled_answers import (
    ScorersByMetric,
    answer_id,
    open_run_rubrics,
    score_from_labels,
)
from evalkit.commands.stored_runs import read_history
from evalkit.compare.suspect_labels import AnswerEvidence, CaseEvidence, rank_suspects
from evalkit.core.context import Context
from evalkit.core.errors import EvalkitError
from evalkit.core.eval_set import Case
from evalkit.core.gate_result import GateResult
from evalkit.core.labels import HumanLabel, labels_path
from evalkit.core.location import Problem
from evalkit.core.run import Run, RunEnvironment, RunHeader
from evalkit.core.serialization import canonical_json
from evalkit.core.trial import Output, Trial
from evalkit.evalset.labels import load_labels
from evalkit.evalset.project import Project
from evalkit.metrics.specs import compares_with_label
from evalkit.report.suspect_labels import SuspectLabels, name_suspects
from evalkit.runner.case_metrics import effective_metrics
from evalkit.store.refs import resolve_run

_MAX_ANSWER_CHARS = 2000

LabelMetrics: TypeAlias = Mapping[str, frozenset[str]]
"""The names of the metrics that compare with the label, by case id."""


@dataclass(kw_only=True)
class _Answer:
    """What is known of one answer to a case."""

    text: str
    fits: list[bool] = field(default_factory=list)
    judged: list[bool] = field(default_factory=list)
    rated: dict[str, bool] = field(default_factory=dict)


@dataclass(kw_only=True)
class _Answers:
    """The answers to a case by their normalized text, and how often each version gave them.

    A version is the digest of its agent with the version of that agent.
    """

    by_text: dict[str, _Answer] = field(default_factory=dict)
    by_version: dict[tuple[str, str], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )


def find_suspect_labels(ref: str, context: Context) -> SuspectLabels:
    """Rank the cases of a run whose label is probably wrong.

    The evidence is in the run, the baseline, and the newest stored runs of the set, and in the labels
    that people gave in reviews.

    Raises:
        InvalidInput, StoreError, ApprovalNeeded: no such run, or it or its set cannot be read.
    """
    project = Project.open(context)
    run = resolve_run(ref, root=project.root, cwd=project.cwd)
    return rank_run_suspects(run, project)


def rank_run_suspects(run: Run, project: Project) -> SuspectLabels:
    """Rank the cases of a run; see `find_suspect_labels`.

    Raises:
        InvalidInput, StoreError, ApprovalNeeded: the set or the stored runs cannot be read.
    """
    metrics = _find_label_metrics(run, project)
    stored, notes = read_history(run, project.root)
    answers: dict[str, _Answers] = defaultdict(_Answers)
    for one in stored:
        _add_answers(answers, one, run.header, metrics)
    notes += _add_ratings(answers, stored, run, project)
    evidence = [
        _weigh_case(case, answers[case.id]) for case in run.header.cases if case.id in answers
    ]
    return SuspectLabels(
        run=run.header.id,
        evalset=run.header.evalset,
        cases=len(evidence),
        versions=len({version for each in answers.values() for version in each.by_version}),
        ranked=rank_suspects(evidence),
        notes=tuple(notes),
    )


def find_suspect_ids(run: Run, project: Project) -> frozenset[str]:
    """Return the ids of the cases whose label is probably wrong; none if that cannot be found out."""
    try:
        found = rank_run_suspects(run, project)
    except EvalkitError:
        return frozenset()
    return frozenset(each.case_id for each in found.suspects)


def note_suspects(result: GateResult, run: Run, project: Project) -> tuple[str, ...]:
    """Return a note on the cases that fail a `must_pass` and whose label is probably wrong, if any."""
    failing = {
        hit.case_id
        for check in result.checks
        if check.rule.must_pass is not None and check.outcome == "fail"
        for hit in check.hits
    }
    if not failing:
        return ()
    try:
        found = rank_run_suspects(run, project)
    except EvalkitError:
        return ()
    named = [each for each in found.suspects if each.case_id in failing]
    return (name_suspects(named, run.header.id),) if named else ()


def _find_label_metrics(run: Run, project: Project) -> LabelMetrics:
    """Return the metrics of each case that compare with its label; a plugin may, so it counts."""
    path = project.root / run.header.evalset_path
    evalset = project.load_valid(path)
    environment = RunEnvironment(
        root=project.root, set_folder=path.resolve().parent, environ=project.environ
    )
    return {
        case.id: frozenset(
            spec.name
            for spec in effective_metrics(evalset, case)
            if compares_with_label(spec, environment)
        )
        for case in run.header.cases
        if case.expected is not None
    }


def _add_answers(
    answers: dict[str, _Answers], run: Run, header: RunHeader, metrics: LabelMetrics
) -> None:
    """Add the answers of a run to the cases that are the same in the header."""
    agent = run.header.agent_digest
    version = agent, canonical_json([run.header.agent_version, run.header.source_digest])
    judged = {info.name for info in run.header.metrics if info.judge}
    same = _find_same_cases(run, header)
    for trial in (*run.trials, *run.fresh):
        verdicts = [
            score.passed
            for score in trial.scores
            if score.metric in metrics.get(trial.case_id, ()) and score.passed is not None
        ]
        if trial.case_id not in same or trial.output.error is not None or not verdicts:
            continue
        found = answers[trial.case_id]
        key = _normalize(trial.output)
        answer = found.by_text.setdefault(key, _Answer(text=_show(trial.output)))
        found.by_version[version][key] += 1
        answer.fits.append(all(verdicts))
        by_judge = [
            score.passed
            for score in trial.scores
            if score.metric in judged and score.passed is not None
        ]
        if by_judge:
            answer.judged.append(all(by_judge))


def _find_same_cases(run: Run, header: RunHeader) -> set[str]:
    digests = {case.id: case.digest for case in header.cases}
    return {case.id for case in run.header.cases if digests.get(case.id) == case.digest}


def _normalize(output: Output) -> str:
    """Return an answer without the differences that do not matter: case, spaces, and a final period."""
    text = " ".join(output.text.casefold().split()).rstrip(".")
    return canonical_json([text, output.data])


def _show(output: Output) -> str:
    text = output.text if output.text or output.data is None else canonical_json(output.data)
    return text[:_MAX_ANSWER_CHARS]


def _add_ratings(
    answers: Mapping[str, _Answers], stored: Iterable[Run], run: Run, project: Project
) -> list[str]:
    """Add what people decided in reviews about the stored answers; return a note if they are unusable."""
    evalset = project.root / run.header.evalset_path
    path = labels_path(evalset, run.header.evalset)
    if not path.exists() or not any(info.judge for info in run.header.metrics):
        return []
    problems: list[Problem] = []
    scorers = open_run_rubrics(run, evalset, project, problems)
    rubrics = {each.rubric.name: each.rubric for row in scorers.values() for each in row.values()}
    labels, found = load_labels(path, list(rubrics.values()))
    if problems or found:
        return [f"The labels of people are not used: {[*problems, *found][0]}"]
    by_item: dict[tuple[str, str], list[HumanLabel]] = defaultdict(list)
    for label in labels:
        by_item[label.rubric, label.answer_id].append(label)
    cases = {case.id: case for case in run.header.cases}
    for one in stored:
        same = _find_same_cases(one, run.header)
        for trial in one.trials:
            if trial.case_id in same and trial.case_id in answers:
                _rate(answers[trial.case_id], trial, cases[trial.case_id], scorers, by_item)
    return []


def _rate(
    answers: _Answers,
    trial: Trial,
    case: Case,
    scorers: ScorersByMetric,
    labels: Mapping[tuple[str, str], Sequence[HumanLabel]],
) -> None:
    """Add the raters who decided on every criterion of the trial's answer."""
    answer = answers.by_text.get(_normalize(trial.output))
    if answer is None or trial.output.error is not None:
        return
    for score in trial.scores:
        scorer = scorers.get(score.metric, {}).get(trial.case_id)
        if scorer is None:
            continue
        question, missing = scorer.build_request(case, trial.output)
        given = () if missing else labels.get((scorer.rubric.name, answer_id(question)), ())
        for rater in {label.rater for label in given}:
            own = [label for label in given if label.rater == rater]
            value = score_from_labels(scorer.rubric, score, own)
            if value is not None:
                passed = scorer.rubric.is_passed(value)
                answer.rated[rater] = passed and answer.rated.get(rater, True)


def _weigh_case(case: Case, answers: _Answers) -> CaseEvidence:
    """Return the evidence of a case: each version counts with its most common answer."""
    versions: Counter[str] = Counter()
    agents: dict[str, set[str]] = defaultdict(set)
    for (agent, _), counts in answers.by_version.items():
        ((key, _),) = counts.most_common(1)
        versions[key] += 1
        agents[key].add(agent)
    label = case.expected if isinstance(case.expected, str) else canonical_json(case.expected)
    return CaseEvidence(
        case_id=case.id,
        label=label[:_MAX_ANSWER_CHARS],
        answers=tuple(
            AnswerEvidence(
                answer=answer.text,
                fits=_majority(answer.fits) is True,
                versions=versions[key],
                agents=max(1, len(agents[key])),
                judge=_majority(answer.judged),
                raters_for=sum(answer.rated.values()),
                raters_against=sum(not passed for passed in answer.rated.values()),
            )
            for key, answer in answers.by_text.items()
        ),
    )


def _majority(verdicts: Sequence[bool]) -> bool | None:
    """Return the verdict of most trials, None without any or if they tie."""
    accepted = sum(verdicts)
    return None if 2 * accepted == len(verdicts) else 2 * accepted > len(verdicts)
