"""Compare a set with its version at the base: choose the gate that applies, and list the edits to it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.ci.base_files import Checkout, checkout
from evalkit.ci.base_sets import Origin, trace_origin
from evalkit.ci.changed_files import list_changed_files
from evalkit.ci.definition import choose_base, describe_definition, describe_uncompared
from evalkit.ci.gate_changes import GateDefinition, find_gate_changes
from evalkit.ci.gate_files import SearchFolders, digest_files
from evalkit.ci.label_leaks import find_label_leaks, find_prompt_leaks
from evalkit.ci.systems import find_build
from evalkit.core.context import Context
from evalkit.core.errors import ApprovalNeeded, InvalidInput, StoreError
from evalkit.core.eval_set import Case, EvalSet
from evalkit.core.files import path_exists, read_stored_file
from evalkit.core.gate_result import GateChange, GateReview
from evalkit.core.gate_source import Acceptance, DefinitionSource
from evalkit.core.location import Location
from evalkit.core.run import Run
from evalkit.core.source_files import display_path
from evalkit.evalset.base_version import BaseVersion
from evalkit.evalset.project import Project
from evalkit.evalset.selection import Selection
from evalkit.runner.records import RunRequest
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice, read_baseline_for, read_chosen_baseline


@dataclass(frozen=True, kw_only=True, slots=True)
class GateChoice:
    """Where to read the gate: at `base`, else at the base of the pull request, if there is one.

    With `accept`, edits to the gate are approved; with `acceptance`, a failing result is, too. With
    `require`, there must be a base. Links in the store may lead into `store`.
    """

    base: str | None = None
    accept: bool = False
    acceptance: Acceptance | None = None
    require: bool = False
    store: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseGate:
    """The gate that applies to a change: the base's, with a review of the change's edits to it.

    Without `base_version`, the set's own rules apply; `definition` says why. `baseline_file` is the base's
    baseline, None if only the set's own exists; messages show it as `display_path`. `base` holds all files
    of the base. `acceptance` says who accepts a change.
    """

    review: GateReview | None = None
    definition: DefinitionSource | None = None
    base_version: BaseVersion | None = None
    baseline_file: Path | None = None
    display_path: Path | None = None
    base: Checkout | None = None
    acceptance: Acceptance | None = None

    def relocate_baseline(self, baseline: Run | None) -> Run | None:
        """Return the baseline with a path outside the base's temporary folder."""
        if baseline is None or self.display_path is None:
            return baseline
        is_from_base = baseline.path == str(self.baseline_file)
        return replace(baseline, path=str(self.display_path)) if is_from_base else baseline

    def build_review(self, selection: Selection) -> GateReview | None:
        """Return the review, with an entry for the command line's selection of cases."""
        if self.review is None or not str(selection) or selection.shard:
            return self.review
        change = GateChange(
            kind="selection",
            sentence=f"only a part of the cases was run: {selection}",
            # A tag or an expression selects cases for a reason; a limit is arbitrary.
            loosened=selection.limit is not None,
        )
        return replace(self.review, changes=(*self.review.changes, change))


def apply_base_gate(request: RunRequest, base_gate: BaseGate) -> RunRequest:
    """Return the request with the base's gate, if there is one."""
    return replace(request, base_version=base_gate.base_version)


@dataclass(frozen=True, kw_only=True, slots=True)
class _SetVersion:
    """One version of a set: its definition, the root of its files, and why it cannot be read."""

    definition: GateDefinition
    root: Path
    broken: str = ""


@contextmanager
def open_base_gate(
    path: Path, choice: GateChoice | None, project: Project, context: Context
) -> Iterator[BaseGate]:
    """Yield the gate that applies, while the base's files exist; without a choice, this checkout's own.

    Raises:
        InvalidInput: the base commit is missing and cannot be fetched, or a base is required.
        ApprovalNeeded: the set at the base can no longer be read.
    """
    build = find_build(context.environ)
    if choice is None:
        yield BaseGate(definition=describe_uncompared(build))
        return
    ref = choose_base(choice.base, build, require=choice.require)
    if ref is None:
        yield BaseGate(definition=describe_definition(build))
        return
    with ExitStack() as stack:
        try:
            base = stack.enter_context(checkout(ref, path, context))
        except InvalidInput:
            # The default branch is a guess, so the report says what is missing instead.
            if ref.name or choice.require:
                raise
            base = None
        if base is None:
            yield BaseGate(definition=describe_definition(build))
            return
        found = compare_with_base(path, base, project, accept=choice.accept)
        definition = describe_definition(build, base.commit, require=choice.require)
        yield replace(found, definition=definition, base=base)


def compare_with_base(path: Path, base: Checkout, project: Project, *, accept: bool) -> BaseGate:
    """Compare a set with the same set at the base, and return the gate that applies.

    Raises:
        InvalidInput: the set is in a submodule.
        ApprovalNeeded: the set at the base can no longer be read.
    """
    commit, own = base.commit, _read_set_version(path, project)
    files = list_changed_files(base.repository.top, base.tree, base.repository.environ)
    place = base.locate(path).relative_to(base.tree).as_posix()
    origin = trace_origin(place, own.definition.evalset, files, project)
    # git writes no files of submodules, so edits there go unnoticed.
    paths = base.list_submodules()
    notes = (f"The files of submodules were not compared: {paths}.",) if paths else ()
    review = GateReview(base=str(commit), commit=commit.sha, accepted=accept, notes=notes)
    if origin.path is None and (name := base.find_submodule(path)):
        raise InvalidInput.single(
            f"{display_path(path)} is in the submodule {name}, whose files {commit} does not contain. "
            f"Run evalkit in that folder, with --base."
        )
    if origin.path is None:
        note = (
            f"{display_path(path)} does not exist at {commit}, so there is no gate to loosen, "
            f"and its own rules decide."
        )
        return BaseGate(review=replace(review, changes=origin.changes, notes=(note, *notes)))
    before = _read_base_version(origin.path, base, project)
    if before.broken and not accept:
        raise ApprovalNeeded(
            f"{display_path(path)} at {commit} can no longer be read. If this change is meant to "
            f"fix that, approve it with --accept-gate-changes. Problems there:\n"
            f"{before.broken.replace(str(base.tree) + os.sep, '')}"
        )
    evalset = _relocate_to_worktree(before.definition.evalset, own.definition.evalset, base)
    changes = (
        *_find_set_changes(before, own, evalset),
        *_find_merge_changes(origin.merged, own, base, project),
        *origin.changes,
        *_find_leaks(before, own, evalset, origin),
        *find_store_changes(base),
    )
    review = replace(review, changes=changes)
    if accept:
        return BaseGate(review=review)
    file = baseline_path(origin.path, evalset.name)
    return BaseGate(
        review=review,
        base_version=BaseVersion(
            evalset=evalset,
            folder=origin.path.parent,
            root=before.root,
            checkout=base.repository.top,
            commit=commit.sha,
            name=str(commit),
        ),
        # Without a baseline at the base, the change is compared with its own, first one.
        baseline_file=file if path_exists(file) else None,
        display_path=baseline_path(path, evalset.name),
    )


def _find_set_changes(
    before: _SetVersion, own: _SetVersion, evalset: EvalSet
) -> Sequence[GateChange]:
    """Return how a set differs from `evalset`, which is the base's, with its files in the working tree."""
    if before.broken:
        sentence = "the set could not be read at the base, so nothing can be compared"
        return (GateChange(kind="set", sentence=sentence, loosened=True),)
    return find_gate_changes(replace(before.definition, evalset=evalset), own.definition)


def find_store_changes(base: Checkout) -> tuple[GateChange, ...]:
    """Return a change if files are committed among the stored runs and verdicts: they could be forged."""
    committed = base.list_committed(":(glob)**/.evalkit/**")
    if not committed:
        return ()
    sentence = f"files are committed in the store of runs and verdicts: {', '.join(committed[:3])}"
    return (GateChange(kind="file", sentence=sentence, loosened=True),)


def _read_set_version(path: Path, project: Project) -> _SetVersion:
    evalset, problems = project.load(path)
    folders = SearchFolders(base=Path(os.path.realpath(path.parent)), root=project.root)
    definition = GateDefinition(
        evalset=evalset,
        files=digest_files(evalset, folders),
        baseline=_digest_file(baseline_path(path, evalset.name)),
    )
    return _SetVersion(
        definition=definition, root=project.root, broken="\n".join(map(str, problems))
    )


def _read_base_version(path: Path, base: Checkout, project: Project) -> _SetVersion:
    return _read_set_version(path, Project(path.parent, base.tree, project.environ))


def _find_leaks(
    before: _SetVersion, own: _SetVersion, evalset: EvalSet, origin: Origin
) -> Iterator[GateChange]:
    """Yield where the change shows the labels of `evalset`, which is the base's, to the agent."""
    known = before.definition.files
    # Gate files may have labels, but an agent could import new code.
    words = [name for name in own.definition.files if name in known or ".py" not in name]
    yield from find_label_leaks(evalset.cases, origin.files, origin.list_label_files(words))
    yield from find_prompt_leaks(evalset, own.definition.evalset)


def _digest_file(path: Path) -> str:
    if not path_exists(path):
        return ""
    try:
        return hashlib.sha256(read_stored_file(path)).hexdigest()[:16]
    except StoreError as reason:
        return str(reason)


def _find_merge_changes(
    merged: Sequence[Path], own: _SetVersion, base: Checkout, project: Project
) -> Iterator[GateChange]:
    """Yield how a set loosens the gates of the other sets of the base whose cases it took over."""
    for path in merged:
        before = _read_base_version(path, base, project)
        evalset = _relocate_to_worktree(before.definition.evalset, own.definition.evalset, base)
        place = path.relative_to(base.tree).as_posix()
        for change in find_gate_changes(
            replace(before.definition, evalset=evalset), own.definition
        ):
            if change.loosened:
                yield replace(change, sentence=f"set {place}, now in this one: {change.sentence}")


def _relocate_to_worktree(evalset: EvalSet, own: EvalSet, base: Checkout) -> EvalSet:
    """Return the base's set with locations in the working tree, which the reader can open."""
    here = {case.id: case.where for case in own.cases}

    def move(where: Location) -> Location:
        path = Path(os.path.abspath(where.path))  # noqa: PTH100 - as it was displayed
        if not where.path or not path.is_relative_to(base.tree):
            return where
        moved = base.repository.top / path.relative_to(base.tree)
        return replace(where, path=display_path(moved))

    def move_case(case: Case) -> Case:
        specs = tuple(replace(spec, where=move(spec.where)) for spec in case.metrics)
        return replace(case, where=here.get(case.id) or move(case.where), metrics=specs)

    return replace(
        evalset,
        cases=tuple(map(move_case, evalset.cases)),
        gate=tuple(replace(rule, where=move(rule.where)) for rule in evalset.gate),
        metrics=tuple(replace(spec, where=move(spec.where)) for spec in evalset.metrics),
    )


def load_comparison_baseline(
    choice: BaselineChoice,
    own: Path,
    base_gate: BaseGate,
    project: Project,
    *,
    run: Run | None = None,
) -> Run | None:
    """Return the run to compare with: the one that `choice` names, else the baseline of the gate.

    That is the set's `own` baseline, unless the gate comes from another commit. With a stored `run`, return
    the baseline with the scores that were computed again for that run.

    Raises:
        InvalidInput: the run that `choice` names does not exist.
        StoreError, ApprovalNeeded: the baseline cannot be read or trusted.
    """
    # A run that the user names is used as it is, whatever the base has.
    from_base = base_gate.baseline_file if choice.uses_own else None
    file = from_base or own
    try:
        if run is not None:
            return read_baseline_for(run, choice, file, root=project.root, cwd=project.cwd)
        return read_chosen_baseline(choice, file, root=project.root, cwd=project.cwd)
    except (StoreError, ApprovalNeeded) as error:
        if base_gate.review is None or from_base is None:
            raise
        message = str(error).replace(str(file), f"{own} at {base_gate.review.base}")
        raise type(error)(message) from error
