"""A set and the base of the change it is in, turned into what the set is held to and what was edited."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from evalkit.ci.commits import (
    BaseRef,
    Commit,
    Repository,
    check_out,
    find_base_ref,
    find_merge_base,
    list_submodules,
    open_repository,
)
from evalkit.ci.gate_changes import GateDefinition, find_gate_changes
from evalkit.ci.gate_files import SearchFolders, digest_files
from evalkit.core.context import Context
from evalkit.core.errors import ApprovalNeeded, StoreError
from evalkit.core.eval_set import Case, EvalSet
from evalkit.core.files import path_exists, read_stored_file
from evalkit.core.gate_result import GateChange, GateReview
from evalkit.core.location import Location
from evalkit.core.project import find_project_root
from evalkit.core.run import Run
from evalkit.core.source_files import display_path
from evalkit.evalset.base_version import BaseVersion
from evalkit.evalset.loader import load_evalset
from evalkit.evalset.selection import Selection
from evalkit.runner.plan import RunRequest
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice, read_baseline_for, read_chosen_baseline

_CASES_KEY = re.compile(rb"^cases:", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class GateChoice:
    """Where the gate's definition comes from: `base`, else the base of the pull request if there is one.

    With `accept`, what the change edits in it is approved.
    """

    base: str | None = None
    accept: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseGate:
    """What a run is held to. `source` is None where the set's own rules decide.

    `baseline_file` is the baseline they compare with, None where there is but the set's own; it is told
    of as `shown_as`.
    """

    review: GateReview
    base_version: BaseVersion | None = None
    baseline_file: Path | None = None
    display_path: Path | None = None

    def apply_to(self, order: RunRequest) -> RunRequest:
        """The order, held to this."""
        return replace(order, base_version=self.base_version)

    def relocate_baseline(self, baseline: Run | None) -> Run | None:
        """A baseline under the place at which a reader finds it: the base's folder is about to go."""
        if baseline is None or self.baseline_file is None or self.display_path is None:
            return baseline
        is_from_base = baseline.path == str(self.baseline_file)
        return replace(baseline, path=str(self.display_path)) if is_from_base else baseline

    def build_review(self, selection: Selection) -> GateReview:
        """The review, with what the command line leaves out."""
        if not str(selection) or selection.shard:
            return self.review
        change = GateChange(
            kind="selection",
            sentence=f"only a part of the cases was run: {selection}",
            # What a tag or an expression picks somebody has chosen; a limit cuts at random.
            loosened=selection.limit is not None,
        )
        return replace(self.review, changes=(*self.review.changes, change))


class BaseCheckout(NamedTuple):
    """The base: its commit, of which repository, and the folder that its files are in."""

    repository: Repository
    commit: Commit
    tree: Path

    @property
    def top(self) -> Path:
        """The checkout's top, where `tree` is for the base."""
        return self.repository.top


class _SetVersion(NamedTuple):
    """One version of a set: what it defines, and where its files are."""

    definition: GateDefinition
    path: Path
    root: Path
    broken: str = ""


@contextmanager
def open_base_gate(
    path: Path, choice: GateChoice | None, world: Context
) -> Iterator[BaseGate | None]:
    """What a set is held to while the base's files are at hand; None where there is no base, or no choice.

    Raises:
        InvalidInput: the base is not here and cannot be fetched.
        ApprovalNeeded: the set as it was at the base cannot be read any more.
    """
    ref = choose_base_ref(choice, world) if choice else None
    if choice is None or ref is None:
        yield None
        return
    repository = open_repository(find_git_folder(path, world), world.environ, ref)
    commit = find_merge_base(repository, ref, world.say)
    with check_out(repository, commit.sha) as tree:
        yield compare_with_base(path, BaseCheckout(repository, commit, tree), choice, world)


def choose_base_ref(choice: GateChoice, world: Context) -> BaseRef | None:
    """The base asked for, else the one that the CI system tells of."""
    if choice.base is not None:
        return BaseRef(name=choice.base, found_in="--base")
    return find_base_ref(world.environ)


def find_git_folder(path: Path, world: Context) -> Path:
    """Where git is asked about a set: its folder, if there is one."""
    folder = (world.cwd / path).parent
    return folder if folder.is_dir() else world.cwd


def compare_with_base(path: Path, at: BaseCheckout, choice: GateChoice, world: Context) -> BaseGate:
    """Hold a set against the same set in the files of another commit."""
    commit, tree = at.commit, at.tree
    own = _read_set_version(path, find_project_root(path.parent, world.cwd))
    there = find_set_at_base(path, own, at)
    notes = _submodule_notes(at)
    review = GateReview(base=str(commit), commit=commit.sha, accepted=choice.accept, notes=notes)
    if there is None:
        note = (
            f"{display_path(path)} does not exist at {commit}: there is no gate yet that could be "
            f"loosened, and its own rules decide."
        )
        return BaseGate(review=replace(review, notes=(note, *notes)))
    base = _read_set_version(there, find_project_root(there.parent, tree))
    if base.broken and not choice.accept:
        raise ApprovalNeeded(
            f"{display_path(path)} as it is at {commit} cannot be read any more. If the change means to "
            f"mend that, approve it with --accept-gate-changes. There:\n"
            f"{base.broken.replace(str(tree) + os.sep, '')}"
        )
    base = relocate_to_worktree(base, own, at)
    changes = _broken_change(base) or find_gate_changes(base.definition, own.definition)
    changes += _store_changes(at)
    review = replace(review, changes=changes)
    if choice.accept:
        return BaseGate(review=review)
    file = baseline_path(there, base.definition.evalset.name)
    return BaseGate(
        review=review,
        base_version=BaseVersion(
            evalset=base.definition.evalset,
            folder=there.parent,
            root=base.root,
            checkout=at.top,
            commit=commit.sha,
            name=str(commit),
        ),
        # A first baseline replaces none, and is the only one that the change can be compared with.
        baseline_file=file if path_exists(file) else None,
        display_path=baseline_path(path, base.definition.evalset.name),
    )


def _broken_change(base: _SetVersion) -> tuple[GateChange, ...]:
    if not base.broken:
        return ()
    sentence = "the set could not be read at the base, so that nothing can be compared"
    return (GateChange(kind="set", sentence=sentence, loosened=True),)


def _store_changes(at: BaseCheckout) -> tuple[GateChange, ...]:
    """Runs and verdicts are evalkit's own to keep: what a change commits there could be made up."""
    placed = at.repository.query(
        "diff", "--no-ext-diff", "--name-only", at.commit.sha, "--", ":(top,glob)**/.evalkit/**"
    ).splitlines()
    if not placed:
        return ()
    sentence = f"files are committed where runs and verdicts are kept: {', '.join(placed[:3])}"
    return (GateChange(kind="file", sentence=sentence, loosened=True),)


def _submodule_notes(at: BaseCheckout) -> tuple[str, ...]:
    paths = list_submodules(at.repository, at.commit.sha)
    if not paths:
        return ()
    return (f"What is in submodules was not compared: {', '.join(paths[:5])}.",)


def _read_set_version(path: Path, root: Path) -> _SetVersion:
    evalset, problems = load_evalset(path, root=root)
    folders = SearchFolders(base=Path(os.path.realpath(path.parent)), root=root)
    definition = GateDefinition(
        evalset=evalset,
        files=digest_files(evalset, folders),
        baseline=_digest_file(baseline_path(path, evalset.name)),
    )
    return _SetVersion(definition, path, root, "\n".join(map(str, problems)))


def _digest_file(path: Path) -> str:
    if not path_exists(path):
        return ""
    try:
        return hashlib.sha256(read_stored_file(path)).hexdigest()[:16]
    except StoreError as reason:
        return str(reason)


def find_set_at_base(path: Path, own: _SetVersion, at: BaseCheckout) -> Path | None:
    """The set in the files of the base: at the same place, else one that is gone from where it was.

    A set that was moved or renamed is the same one as long as its name or any of its cases is the same.
    """
    tree, place = at.tree, path_in_checkout(at.top, path)
    if (tree / place).exists():
        return tree / place
    best, most = None, -1
    mine = own.definition.evalset
    digests = {(case.id, case.digest) for case in mine.cases}
    for file in sorted((*tree.rglob("*.yaml"), *tree.rglob("*.yml"))):
        if (at.top / file.relative_to(tree)).exists() or not _has_cases(file):
            continue
        evalset, _ = load_evalset(file, root=find_project_root(file.parent, tree))
        shared = len({(case.id, case.digest) for case in evalset.cases} & digests)
        if (shared or evalset.name == mine.name) and shared > most:
            best, most = file, shared
    return best


def _has_cases(file: Path) -> bool:
    try:
        return bool(_CASES_KEY.search(read_stored_file(file)))
    except StoreError:
        return False


def path_in_checkout(top: Path, path: Path) -> Path:
    """Where a file is in the checkout, by the name it is asked for, not by where a link leads."""
    absolute = Path(os.path.realpath(path.parent)) / path.name
    lexical = Path(os.path.abspath(path))  # noqa: PTH100 - links are not to be followed
    place = lexical if lexical.is_relative_to(top) else absolute
    return place.relative_to(top) if place.is_relative_to(top) else Path(path.name)


def relocate_to_worktree(base: _SetVersion, own: _SetVersion, at: BaseCheckout) -> _SetVersion:
    """The base's side, told of in the places of the working tree, where its reader can look."""
    here = {case.id: case for case in own.definition.evalset.cases}

    def moved(where: Location) -> Location:
        path = Path(os.path.abspath(where.path))  # noqa: PTH100 - as it was shown
        if not where.path or not path.is_relative_to(at.tree):
            return where
        return replace(where, path=display_path(at.top / path.relative_to(at.tree)))

    def place(case: Case) -> Case:
        same = here.get(case.id)
        specs = tuple(replace(spec, where=moved(spec.where)) for spec in case.metrics)
        return replace(case, where=same.where if same else moved(case.where), metrics=specs)

    evalset: EvalSet = base.definition.evalset
    evalset = replace(
        evalset,
        cases=tuple(map(place, evalset.cases)),
        gate=tuple(replace(rule, where=moved(rule.where)) for rule in evalset.gate),
        metrics=tuple(replace(spec, where=moved(spec.where)) for spec in evalset.metrics),
    )
    return base._replace(definition=replace(base.definition, evalset=evalset))


def load_comparison_baseline(
    choice: BaselineChoice, own: Path, basis: BaseGate | None, *, run: Run | None, world: Context
) -> Run | None:
    """What a run is compared with: the run that was named, else the baseline of its gate.

    The set's `own` one is that unless the gate comes from another commit. With a stored `run` it is as it
    was scored again for that run.

    Raises:
        InvalidInput: the run that was named does not exist.
        StoreError, ApprovalNeeded: it is there and cannot be trusted.
    """
    file = basis.baseline_file if basis and basis.baseline_file and choice.uses_own else own
    root = find_project_root(own.parent.parent, world.cwd)
    try:
        if run is not None:
            return read_baseline_for(run, choice, file, root=root, cwd=world.cwd)
        return read_chosen_baseline(choice, file, root=root, cwd=world.cwd)
    except (StoreError, ApprovalNeeded) as error:
        if basis is None or file == own:
            raise
        told = str(error).replace(str(file), f"{own} at {basis.review.base}")
        raise type(error)(told) from error
