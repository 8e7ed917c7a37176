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

from evalkit.baseline import baseline_path
from evalkit.commits import (
    BaseRef,
    Commit,
    Repository,
    check_out,
    find_base_ref,
    find_commit,
    list_submodules,
    open_repository,
)
from evalkit.definition.changes import Definition, find_changes
from evalkit.definition.files import Folders, digest_files
from evalkit.errors import ApprovalNeeded, StoreError
from evalkit.files import exists, read_stored
from evalkit.holding import GateSource
from evalkit.loading.evalset import load_evalset
from evalkit.plan import Order
from evalkit.project import find_root
from evalkit.records import Case, EvalSet, Location, Run
from evalkit.refs import BaselineChoice, read_baseline_of, read_chosen_baseline
from evalkit.selection import Selection
from evalkit.sources import shown_path
from evalkit.verdict import GateChange, GateReview
from evalkit.world import World

_HOLDS_CASES = re.compile(rb"^cases:", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class GateChoice:
    """Where the gate's definition comes from: `base`, else the base of the pull request if there is one.

    With `accept`, what the change edits in it is approved.
    """

    base: str | None = None
    accept: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Basis:
    """What a run is held to. `source` is None where the set's own rules decide.

    `baseline_file` is the baseline they compare with, None where there is but the set's own; it is told
    of as `shown_as`.
    """

    review: GateReview
    source: GateSource | None = None
    baseline_file: Path | None = None
    shown_as: Path | None = None

    def hold(self, order: Order) -> Order:
        """The order, held to this."""
        return replace(order, held_to=self.source)

    def show(self, baseline: Run | None) -> Run | None:
        """A baseline under the place at which a reader finds it: the base's folder is about to go."""
        if baseline is None or self.baseline_file is None or self.shown_as is None:
            return baseline
        is_from_base = baseline.path == str(self.baseline_file)
        return replace(baseline, path=str(self.shown_as)) if is_from_base else baseline

    def review_of(self, selection: Selection) -> GateReview:
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


class BaseFiles(NamedTuple):
    """The base: its commit, of which repository, and the folder that its files are in."""

    repository: Repository
    commit: Commit
    tree: Path

    @property
    def top(self) -> Path:
        """The checkout's top, where `tree` is for the base."""
        return self.repository.top


class _Side(NamedTuple):
    """One version of a set: what it defines, and where its files are."""

    definition: Definition
    path: Path
    root: Path
    broken: str = ""


@contextmanager
def open_basis(path: Path, choice: GateChoice | None, world: World) -> Iterator[Basis | None]:
    """What a set is held to while the base's files are at hand; None where there is no base, or no choice.

    Raises:
        InvalidInput: the base is not here and cannot be fetched.
        ApprovalNeeded: the set as it was at the base cannot be read any more.
    """
    ref = find_ref(choice, world) if choice else None
    if choice is None or ref is None:
        yield None
        return
    repository = open_repository(folder_of(path, world), world.environ, ref)
    commit = find_commit(repository, ref, world.say)
    with check_out(repository, commit.sha) as tree:
        yield compare_with(path, BaseFiles(repository, commit, tree), choice, world)


def find_ref(choice: GateChoice, world: World) -> BaseRef | None:
    """The base asked for, else the one that the CI system tells of."""
    if choice.base is not None:
        return BaseRef(name=choice.base, found_in="--base")
    return find_base_ref(world.environ)


def folder_of(path: Path, world: World) -> Path:
    """Where git is asked about a set: its folder, if there is one."""
    folder = (world.cwd / path).parent
    return folder if folder.is_dir() else world.cwd


def compare_with(path: Path, at: BaseFiles, choice: GateChoice, world: World) -> Basis:
    """Hold a set against the same set in the files of another commit."""
    commit, tree = at.commit, at.tree
    own = _read_side(path, find_root(path.parent, world.cwd))
    there = find_counterpart(path, own, at)
    notes = _submodule_notes(at)
    review = GateReview(base=str(commit), commit=commit.sha, accepted=choice.accept, notes=notes)
    if there is None:
        note = (
            f"{shown_path(path)} does not exist at {commit}: there is no gate yet that could be "
            f"loosened, and its own rules decide."
        )
        return Basis(review=replace(review, notes=(note, *notes)))
    base = _read_side(there, find_root(there.parent, tree))
    if base.broken and not choice.accept:
        raise ApprovalNeeded(
            f"{shown_path(path)} as it is at {commit} cannot be read any more. If the change means to "
            f"mend that, approve it with --accept-gate-changes. There:\n"
            f"{base.broken.replace(str(tree) + os.sep, '')}"
        )
    base = replace_places(base, own, at)
    changes = _broken_change(base) or find_changes(base.definition, own.definition)
    changes += _store_changes(at)
    review = replace(review, changes=changes)
    if choice.accept:
        return Basis(review=review)
    file = baseline_path(there, base.definition.evalset.name)
    return Basis(
        review=review,
        source=GateSource(
            evalset=base.definition.evalset,
            folder=there.parent,
            root=base.root,
            checkout=at.top,
            commit=commit.sha,
            name=str(commit),
        ),
        # A first baseline replaces none, and is the only one that the change can be compared with.
        baseline_file=file if exists(file) else None,
        shown_as=baseline_path(path, base.definition.evalset.name),
    )


def _broken_change(base: _Side) -> tuple[GateChange, ...]:
    if not base.broken:
        return ()
    sentence = "the set could not be read at the base, so that nothing can be compared"
    return (GateChange(kind="set", sentence=sentence, loosened=True),)


def _store_changes(at: BaseFiles) -> tuple[GateChange, ...]:
    """Runs and verdicts are evalkit's own to keep: what a change commits there could be made up."""
    placed = at.repository.ask(
        "diff", "--no-ext-diff", "--name-only", at.commit.sha, "--", ":(top,glob)**/.evalkit/**"
    ).splitlines()
    if not placed:
        return ()
    sentence = f"files are committed where runs and verdicts are kept: {', '.join(placed[:3])}"
    return (GateChange(kind="file", sentence=sentence, loosened=True),)


def _submodule_notes(at: BaseFiles) -> tuple[str, ...]:
    paths = list_submodules(at.repository, at.commit.sha)
    if not paths:
        return ()
    return (f"What is in submodules was not compared: {', '.join(paths[:5])}.",)


def _read_side(path: Path, root: Path) -> _Side:
    evalset, problems = load_evalset(path, root=root)
    folders = Folders(base=Path(os.path.realpath(path.parent)), root=root)
    definition = Definition(
        evalset=evalset,
        files=digest_files(evalset, folders),
        baseline=_digest_file(baseline_path(path, evalset.name)),
    )
    return _Side(definition, path, root, "\n".join(map(str, problems)))


def _digest_file(path: Path) -> str:
    if not exists(path):
        return ""
    try:
        return hashlib.sha256(read_stored(path)).hexdigest()[:16]
    except StoreError as reason:
        return str(reason)


def find_counterpart(path: Path, own: _Side, at: BaseFiles) -> Path | None:
    """The set in the files of the base: at the same place, else one that is gone from where it was.

    A set that was moved or renamed is the same one as long as its name or any of its cases is the same.
    """
    tree, place = at.tree, place_in(at.top, path)
    if (tree / place).exists():
        return tree / place
    best, most = None, -1
    mine = own.definition.evalset
    digests = {(case.id, case.digest) for case in mine.cases}
    for file in sorted((*tree.rglob("*.yaml"), *tree.rglob("*.yml"))):
        if (at.top / file.relative_to(tree)).exists() or not _holds_cases(file):
            continue
        evalset, _ = load_evalset(file, root=find_root(file.parent, tree))
        shared = len({(case.id, case.digest) for case in evalset.cases} & digests)
        if (shared or evalset.name == mine.name) and shared > most:
            best, most = file, shared
    return best


def _holds_cases(file: Path) -> bool:
    try:
        return bool(_HOLDS_CASES.search(read_stored(file)))
    except StoreError:
        return False


def place_in(top: Path, path: Path) -> Path:
    """Where a file is in the checkout, by the name it is asked for, not by where a link leads."""
    absolute = Path(os.path.realpath(path.parent)) / path.name
    lexical = Path(os.path.abspath(path))  # noqa: PTH100 - links are not to be followed
    place = lexical if lexical.is_relative_to(top) else absolute
    return place.relative_to(top) if place.is_relative_to(top) else Path(path.name)


def replace_places(base: _Side, own: _Side, at: BaseFiles) -> _Side:
    """The base's side, told of in the places of the working tree, where its reader can look."""
    here = {case.id: case for case in own.definition.evalset.cases}

    def moved(where: Location) -> Location:
        path = Path(os.path.abspath(where.path))  # noqa: PTH100 - as it was shown
        if not where.path or not path.is_relative_to(at.tree):
            return where
        return replace(where, path=shown_path(at.top / path.relative_to(at.tree)))

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


def find_baseline(
    choice: BaselineChoice, own: Path, basis: Basis | None, *, run: Run | None, world: World
) -> Run | None:
    """What a run is compared with: the run that was named, else the baseline of its gate.

    The set's `own` one is that unless the gate comes from another commit. With a stored `run` it is as it
    was scored again for that run.

    Raises:
        InvalidInput: the run that was named does not exist.
        StoreError, ApprovalNeeded: it is there and cannot be trusted.
    """
    file = basis.baseline_file if basis and basis.baseline_file and choice.names_own else own
    root = find_root(own.parent.parent, world.cwd)
    try:
        if run is not None:
            return read_baseline_of(run, choice, file, root=root, cwd=world.cwd)
        return read_chosen_baseline(choice, file, root=root, cwd=world.cwd)
    except (StoreError, ApprovalNeeded) as error:
        if basis is None or file == own:
            raise
        told = str(error).replace(str(file), f"{own} at {basis.review.base}")
        raise type(error)(told) from error
