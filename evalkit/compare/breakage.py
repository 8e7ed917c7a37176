"""Find which step, tool, argument, model, or changed file goes together with newly failing cases."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from evalkit.compare.divergence import (
    Difference,
    Divergence,
    TrialSteps,
    find_divergence,
    read_steps,
)
from evalkit.core.gate_result import CaseChange
from evalkit.core.run import Run
from evalkit.core.trial import Trial
from evalkit.stats.association import adjust_associations

ALPHA = 0.05
"""The chance that anything is named if no feature is related to failure."""

_MAX_ROUNDS = 10
_FILE_ATTRIBUTES = tuple(
    # Spans of `evalkit.span` have the prefix in the names of their own attributes.
    f"{prefix}{name}"
    for name in ("code.file.path", "code.filepath", "code.file")
    for prefix in ("", "evalkit.")
)

FeatureKind: TypeAlias = Literal["value", "difference", "tool", "step", "path", "file"]

_SPECIFIC: tuple[FeatureKind, ...] = ("value", "difference", "tool", "step", "path", "file")
"""The kinds of features, the most specific first."""


class _Feature(NamedTuple):
    kind: FeatureKind
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureAssociation:
    """A feature that newly failing cases have more often than cases that still pass.

    `failing` of the newly failing cases that were compared have it, and `passing` of those that still
    pass. `p_value` is that of Fisher's exact test, adjusted for all tested features.
    """

    kind: FeatureKind
    feature: str
    failing: int
    passing: int
    p_value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseDivergence:
    """The first difference of a newly failing case from the baseline; `step` is 0 if no step differs."""

    case_id: str
    step: int
    difference: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Breakage:
    """Where newly failing cases first differ from the baseline, and what goes together with failing.

    `failing` cases that passed in the baseline fail now and were compared, `passing` still pass, and
    `left_out` of both lack steps. `shared` are differences of every compared case; the next difference
    of each case counts instead. `why_not` says why nothing was compared. An association is no proof of
    a cause.
    """

    compared: Literal["spans", "tool calls", ""] = ""
    failing: int = 0
    passing: int = 0
    left_out: int = 0
    tested: int = 0
    associations: tuple[FeatureAssociation, ...] = ()
    shared: tuple[str, ...] = ()
    cases: tuple[CaseDivergence, ...] = ()
    why_not: str = ""


class _ComparedCase(NamedTuple):
    """A case with the steps of its trials in the baseline and in the run, at least one each."""

    case_id: str
    is_failing: bool
    base: Sequence[TrialSteps]
    trials: Sequence[TrialSteps]
    files: Set[str]

    def diverge(self, ignored: Set[Difference], *, ignores_models: bool = False) -> Divergence:
        """Return the most common first difference of the trials of the case."""
        found = [
            find_divergence(self.base, trial, ignored, ignores_models=ignores_models)
            for trial in self.trials
        ]
        (differences, _), *_ = Counter(each.differences for each in found).most_common(1)
        return next(each for each in found if each.differences == differences)


def find_breakage(
    changes: Sequence[CaseChange],
    baseline: Run,
    candidate: Run,
    changed_files: Set[str] = frozenset(),
) -> Breakage | None:
    """Return where newly failing cases differ first; None without such cases, or without any step.

    Only cases that passed in the baseline are compared. The differences do not depend on whether the
    case fails now, so that the test of the association is exact.

    Args:
        changes: the cases of both runs.
        baseline: the baseline, with its spans in the outputs if they are known.
        candidate: the run, likewise.
        changed_files: the files that changed since the baseline, relative to the repository.
    """
    passed_before = {
        change.case_id: change.newly_failing
        for change in changes
        if change.origin == "shared"
        and change.trials
        and (change.newly_failing or 2 * change.base_passed > change.base_trials)
    }
    if not any(passed_before.values()):
        return None
    use_spans = all(
        any(trial.output.spans for trial in run.trials) for run in (baseline, candidate)
    )
    rows = _group_trials(baseline, passed_before), _group_trials(candidate, passed_before)
    compared = []
    for case_id, is_failing in passed_before.items():
        before, now = rows[0].get(case_id, []), rows[1].get(case_id, [])
        # A case that fails newly by one of its metrics may have passed no trial by all of them.
        before = [trial for trial in before if trial.passed] or before
        base, trials = (
            [
                steps
                for trial in side
                if (steps := read_steps(trial.output, use_spans=use_spans)) is not None
            ]
            for side in (before, now)
        )
        if base and trials:
            files = _find_files(now, changed_files)
            compared.append(_ComparedCase(case_id, is_failing, base, trials, files))
    if not any(case.is_failing for case in compared):
        return _explain_missing_steps(baseline, candidate)
    return _summarize(compared, len(passed_before), "spans" if use_spans else "tool calls")


def _group_trials(run: Run, cases: Mapping[str, bool]) -> dict[str, list[Trial]]:
    found: dict[str, list[Trial]] = defaultdict(list)
    for trial in run.trials:
        if trial.case_id in cases and trial.state == "scored":
            found[trial.case_id].append(trial)
    return found


def _find_files(trials: Sequence[Trial], changed_files: Set[str]) -> frozenset[str]:
    """Return the changed files that the spans of a case name as the place of their code."""
    if not changed_files:
        return frozenset()
    named = {
        str(span.attributes[key]).replace("\\", "/")
        for trial in trials
        for span in trial.output.spans
        for key in _FILE_ATTRIBUTES
        if span.attributes.get(key)
    }
    return frozenset(
        file
        for file in changed_files
        if any(f"/{name.removeprefix('./')}".endswith(f"/{file}") for name in named)
    )


def _explain_missing_steps(baseline: Run, candidate: Run) -> Breakage | None:
    """Return which of the runs has no steps; None if neither has any."""
    have = [
        any(trial.output.tool_calls or trial.output.spans for trial in run.trials)
        for run in (baseline, candidate)
    ]
    if not any(have):
        return None
    names = [name for name, has in zip(("baseline", "run"), have, strict=True) if not has]
    if names:
        return Breakage(why_not=f"the {names[0]} has neither spans nor tool calls")
    return Breakage(why_not="no newly failing case has steps in both runs")


def _summarize(
    compared: Sequence[_ComparedCase], cases: int, what: Literal["spans", "tool calls"]
) -> Breakage:
    failing = [case.is_failing for case in compared]
    ignored: frozenset[Difference] = frozenset()
    found = [case.diverge(ignored) for case in compared]
    # A difference of every case, such as a new model, hides what comes after it, and separates nothing.
    for _ in range(_MAX_ROUNDS):
        shared = frozenset.intersection(*(frozenset(each.differences) for each in found))
        shared -= {Difference("answer")}
        if all(failing) or not shared:
            break
        ignored |= shared
        found = [case.diverge(ignored) for case in compared]
    features: dict[_Feature, set[int]] = defaultdict(set)
    for index, (case, divergence) in enumerate(zip(compared, found, strict=True)):
        behind = case.diverge(ignored, ignores_models=True)
        for feature in (*_list_features(divergence, case.files), *_list_features(behind, ())):
            features[feature].add(index)
    distinct = _drop_repeated(features)
    p_values = {} if all(failing) else adjust_associations(failing, distinct, ALPHA)
    return Breakage(
        compared=what,
        failing=sum(failing),
        passing=len(failing) - sum(failing),
        left_out=cases - len(compared),
        tested=len(p_values),
        associations=tuple(_list_associations(p_values, distinct, failing)),
        shared=tuple(sorted(each.sentence for each in ignored)),
        cases=tuple(
            CaseDivergence(
                case_id=case.case_id,
                step=each.number,
                difference=", ".join(one.sentence for one in each.differences)
                or "no difference, also not in the answer",
            )
            for case, each in zip(compared, found, strict=True)
            if case.is_failing
        ),
    )


def _list_features(divergence: Divergence, files: Set[str] | tuple[()]) -> Iterator[_Feature]:
    """Yield the features of a case. A new answer is none: every newly failing case has one."""
    for each in divergence.differences:
        if each.kind != "answer":
            yield _Feature("difference", each.sentence)
        if each.kind not in ("answer", "model"):
            yield _Feature("tool", f"any difference at {each.step}")
        if each.kind == "replaced":
            yield _Feature("tool", f"any difference at {each.other}")
    for each, value in divergence.values:
        yield _Feature("value", f"argument {each.other} of {each.step} is now {value}")
    if divergence.number:
        yield _Feature("step", f"the first difference is in step {divergence.number}")
    if divergence.takes_other_steps:
        yield _Feature("path", "any other step than in the baseline")
    for file in files:
        yield _Feature("file", f"runs code of {file}, which changed")


def _drop_repeated(features: Mapping[_Feature, Set[int]]) -> dict[_Feature, frozenset[int]]:
    """Return the features without those that exactly the same cases have as a more specific one."""
    kept: dict[tuple[frozenset[int], bool], _Feature] = {}
    for feature in sorted(features, key=lambda each: (_SPECIFIC.index(each.kind), each.text)):
        # A file says where the code is, so no other feature replaces it.
        kept.setdefault((frozenset(features[feature]), feature.kind == "file"), feature)
    return {feature: cases for (cases, _), feature in kept.items()}


def _list_associations(
    p_values: Mapping[_Feature, float],
    features: Mapping[_Feature, frozenset[int]],
    failing: Sequence[bool],
) -> Iterator[FeatureAssociation]:
    """Yield the significant associations, the smallest p-value first.

    A feature of the same failing cases as one before it, and of more cases that pass, adds nothing.
    """
    ranked = sorted(
        p_values, key=lambda each: (p_values[each], _SPECIFIC.index(each.kind), each.text)
    )
    listed: list[tuple[bool, frozenset[int], frozenset[int]]] = []
    for feature in ranked:
        if p_values[feature] > ALPHA:
            return
        cases, is_file = features[feature], feature.kind == "file"
        hit = frozenset(index for index in cases if failing[index])
        if any(
            other_is_file == is_file and hit == other_hit and others <= cases
            for other_is_file, other_hit, others in listed
        ):
            continue
        listed.append((is_file, hit, cases))
        both = len(hit)
        yield FeatureAssociation(
            kind=feature.kind,
            feature=feature.text,
            failing=both,
            passing=len(features[feature]) - both,
            p_value=p_values[feature],
        )
