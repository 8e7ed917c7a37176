"""Find what became of the sets of the base in a change: moved, renamed, merged, split, or gone.

A set is known by the inputs of its cases, not by its file, its name, or the ids of its cases, so that a new
name is no way around its thresholds and its baseline.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from evalkit.ci.changed_files import ChangedFiles
from evalkit.ci.ci_files import find_dropped_mentions, is_ci_file
from evalkit.ci.normalized_cases import normalize_input
from evalkit.core.errors import StoreError
from evalkit.core.eval_set import Case, EvalSet
from evalkit.core.files import read_stored_file
from evalkit.core.format import format_count
from evalkit.core.gate_result import GateChange
from evalkit.core.location import Location
from evalkit.core.source_files import display_path
from evalkit.evalset.project import Project
from evalkit.evalset.set_files import SET_SUFFIXES

KNOWN_SHARE = 0.5
"""A set is another set if it has this share of its cases, or gets this share of its new cases from it."""

CASE_SUFFIXES = (".yaml", ".yml", ".csv", ".tsv", ".json", ".jsonl", ".parquet")
"""The files that sets and cases can be in."""

_CASES_KEY = re.compile(rb"""(?:^|[{,]|\xef\xbb\xbf)\s*["']?cases["']?\s*:""", re.MULTILINE)
_MAX_NAMED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class LostSet:
    """A set of the base that is not at its place any more, or no longer with most of its cases.

    `place` is its path from the top of the repository. `lost` are the cases whose inputs are not there.
    """

    place: str
    evalset: EvalSet
    lost: tuple[Case, ...]
    lost_inputs: tuple[str, ...]
    is_deleted: bool

    def count_in(self, inputs: Collection[str]) -> int:
        """Return how many of the lost cases are among these inputs."""
        return sum(each in inputs for each in self.lost_inputs)


@dataclass(frozen=True, kw_only=True, slots=True)
class SetPlaces:
    """The sets that a change may concern, by place: those of the base, and those of the change.

    `unchanged` are the places of the other sets of the base.
    """

    base: Mapping[str, EvalSet]
    now: Mapping[str, EvalSet]
    unchanged: tuple[str, ...] = ()

    def find_lost(self) -> tuple[LostSet, ...]:
        """Return the sets of the base that were deleted, or that lost more than half of their cases."""
        found = []
        for place, evalset in self.base.items():
            now = self.now.get(place)
            kept = _list_inputs(now)
            known = [(case, normalize_input(case)) for case in evalset.cases]
            lost = [(case, given) for case, given in known if given not in kept]
            if len(lost) > KNOWN_SHARE * len(known):
                found.append(
                    LostSet(
                        place=place,
                        evalset=evalset,
                        lost=tuple(case for case, _ in lost),
                        lost_inputs=tuple(given for _, given in lost),
                        is_deleted=now is None,
                    )
                )
        return tuple(found)

    def list_new_inputs(self, place: str) -> set[str]:
        """Return the inputs of a set that it did not have at the base."""
        return _list_inputs(self.now.get(place)) - _list_inputs(self.base.get(place))

    def find_sources(self, place: str, lost: Sequence[LostSet]) -> list[LostSet]:
        """Return the lost sets whose cases a set now has, the one with the most first.

        A deleted set is a source as well if it has the same name or any case that is the same.
        """
        own, inputs = self.now[place], self.list_new_inputs(place) if lost else set()
        cases = {(case.id, case.digest) for case in own.cases}
        found = []
        for each in lost:
            shared = each.count_in(inputs)
            is_large = shared and shared >= KNOWN_SHARE * min(len(each.evalset.cases), len(inputs))
            has_same = any((case.id, case.digest) in cases for case in each.lost)
            is_renamed = each.is_deleted and place not in self.base
            is_same = is_renamed and (has_same or each.evalset.name == own.name)
            if each.place != place and (is_large or is_same):
                found.append((shared, each))
        return [each for _, each in sorted(found, key=lambda pair: -pair[0])]


def _list_inputs(evalset: EvalSet | None) -> set[str]:
    return set(map(normalize_input, evalset.cases)) if evalset is not None else set()


def read_set_places(files: ChangedFiles, own: Mapping[str, EvalSet], project: Project) -> SetPlaces:
    """Read the sets that a change may have moved or deleted; `own` are those that are run, by their places."""
    top, tree = files.top, files.tree
    changed = [name for name in files.names if name.lower().endswith(CASE_SUFFIXES)]
    if not changed and not any(map(is_ci_file, files.names)):
        return SetPlaces(base={}, now=own)
    named = {posixpath.basename(name) for name in changed}
    listed = {path.relative_to(tree).as_posix(): path for path in _list_yaml(tree)}
    texts = {
        place: _read_set_text(path) for place, path in listed.items() if place not in files.left_out
    }
    base, unchanged = {}, []
    for place, text in texts.items():
        # Cases may be in other files, which the set names or has a pattern for.
        if not (place in own or place in changed or "*" in text or any(n in text for n in named)):
            unchanged += [place] if text else []
        elif text and (evalset := _read_set(tree / place, tree, project)):
            base[place] = evalset
    places = dict.fromkeys(
        (*base, *(name for name in changed if name.lower().endswith(SET_SUFFIXES)))
    )
    now = {
        place: evalset
        for place in places
        if place not in own
        and _read_set_text(top / place)
        and (evalset := _read_set(top / place, top, project))
    }
    return SetPlaces(base=base, now={**now, **own}, unchanged=tuple(unchanged))


def _list_yaml(tree: Path) -> Iterable[Path]:
    return sorted(path for path in tree.rglob("*") if path.suffix.lower() in SET_SUFFIXES)


def _read_set_text(path: Path) -> str:
    """Return the text of a file that has cases; empty for any other."""
    try:
        data = read_stored_file(path)
    except StoreError:
        return ""
    return data.decode(errors="replace") if _CASES_KEY.search(data) else ""


def _read_set(path: Path, root: Path, project: Project) -> EvalSet | None:
    """Return the set of a file; None if it has no cases, or nothing to decide by."""
    evalset, _ = Project(path.parent, root, project.environ).load(path)
    return evalset if evalset.cases and (evalset.agent or evalset.metrics or evalset.gate) else None


def _find_set_changes(
    places: SetPlaces, lost: Sequence[LostSet], own_place: str, files: ChangedFiles
) -> Iterator[GateChange]:
    """Yield what became of the sets of the base other than the one that is run and those that it took in."""
    moved = {}
    new_inputs = {place: places.list_new_inputs(place) for place in places.now} if lost else {}
    for each in lost:
        if each.place == own_place:
            continue  # the review of the set itself lists its cases
        other = {
            place: shared
            for place, inputs in new_inputs.items()
            if place != each.place and (shared := each.count_in(inputs))
        }
        best = max(other, key=lambda place: other[place], default="")
        if best and other[best] >= KNOWN_SHARE * len(each.evalset.cases):
            moved[each.place] = best
            total = format_count(len(each.evalset.cases), "case")
            yield GateChange(
                kind="set",
                sentence=f"set {each.place}: {other[best]} of {total} are in {best} now",
                loosened=False,
                where=Location(path=display_path(files.top / best)),
            )
        else:
            yield _describe_lost(each, tuple(other), files.top)
    gone = {each.place for each in lost} - moved.keys()
    run = [
        (place, moved.get(place, place))
        for place in (*places.base, *places.unchanged)
        if place not in gone and own_place not in (place, moved.get(place))
    ]
    for place, mention in find_dropped_mentions(run, files):
        yield GateChange(
            kind="set",
            sentence=f"set {place}: {mention.name} ran it, and no CI file names it now",
            loosened=True,
            where=mention.locate(files.top),
        )


def _describe_lost(lost: LostSet, others: Sequence[str], top: Path) -> GateChange:
    total = format_count(len(lost.evalset.cases), "case")
    what = (
        f"deleted with its {total}" if lost.is_deleted else f"{len(lost.lost)} of {total} are gone"
    )
    spread = f"; some are in {', '.join(others[:_MAX_NAMED])}" if others else ""
    return GateChange(
        kind="set",
        sentence=f"set {lost.place}: {what}{spread}",
        loosened=True,
        case_ids=tuple(case.id for case in lost.lost),
        where=Location(path=display_path(top / lost.place)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a set was at the base, None if it is new, and which other sets it took in.

    `changes` say what became of the other sets of the base.
    """

    place: str
    path: Path | None
    merged: Sequence[Path]
    changes: tuple[GateChange, ...]
    files: ChangedFiles
    sets: SetPlaces

    def list_label_files(self, words: Collection[str]) -> set[str]:
        """Return the files that may have labels: sets, their cases and baselines, recordings, the gate's files.

        `words` are the names of the gate's files as the set has them.
        """
        agent = self.sets.now[self.place].agent
        recorded = agent.args.values() if agent and agent.kind == "recorded" else ()
        folder = PurePosixPath(self.place).parent
        named = {
            posixpath.normpath(folder / word.partition(":")[0])
            for word in (*words, *recorded)
            if isinstance(word, str)
        }
        folders = {
            str(PurePosixPath(place).parent / "baselines")
            for place in (*self.sets.base, *self.sets.now, *self.sets.unchanged)
        }
        baselines = {
            name for name in self.files.names if str(PurePosixPath(name).parent) in folders
        }
        return self._list_set_files() | named | baselines

    def _list_set_files(self) -> set[str]:
        found = {*self.sets.base, *self.sets.now}
        for root, sets in ((self.files.tree, self.sets.base), (self.files.top, self.sets.now)):
            paths = {case.where.path for evalset in sets.values() for case in evalset.cases}
            for path in paths:
                full = Path(os.path.abspath(path))  # noqa: PTH100 - as it was displayed
                if full.is_relative_to(root):
                    found.add(full.relative_to(root).as_posix())
        return found


def trace_origin(place: str, own: EvalSet, files: ChangedFiles, project: Project) -> Origin:
    """Find a set at the base: at the same place, else where its cases come from."""
    sets = read_set_places(files, {place: own}, project)
    lost = sets.find_lost()
    sources = sets.find_sources(place, lost)
    others = [each for each in lost if each not in sources]
    found = [files.tree / each.place for each in sources]
    if (files.tree / place).exists():
        found.insert(0, files.tree / place)
    return Origin(
        place=place,
        path=found[0] if found else None,
        merged=found[1:],
        changes=tuple(_find_set_changes(sets, others, place, files)),
        files=files,
        sets=sets,
    )
