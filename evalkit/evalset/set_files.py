"""Find the eval sets that files, folders, and patterns name; say what every other YAML file there is."""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.errors import InvalidInput
from evalkit.core.format import format_count
from evalkit.core.location import Location, Problem
from evalkit.core.source_files import UnreadableFile, display_path, names_several, read_file
from evalkit.evalset.loader import PROJECT_FILE
from evalkit.evalset.nodes import InvalidNode, ListNode, MappingNode, Node, Scalar
from evalkit.evalset.rubrics import is_rubric
from evalkit.evalset.yaml import parse_yaml

SET_SUFFIXES = (".yaml", ".yml")

_DECIDING_KEYS = ("evalset", "cases")
"""A file with one of these keys, or with a similar one, is a set."""

_SHARED_KEYS = {"agent", "judge", "metrics", "gate"}
"""A file with two of these keys is a set; files of other tools may have one."""

_SIMILARITY = 0.85
"""How similar a misspelled key must be (0..1); with less, `bases` would be read as `cases`."""

_SET_LINE = re.compile(rb"""^[{ \t]*["']?(?:evalset|cases)["']?[ \t]*:""", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedFile:
    """A YAML file in a folder that is no eval set.

    `reason` says what it is. Whether the user meant it as a set is unclear if it `is_unknown`.
    """

    path: Path
    reason: str
    is_rubric: bool = False
    is_unknown: bool = False

    def __str__(self) -> str:
        return f"{display_path(self.path)} ({self.reason})"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundSets:
    """Eval sets, each once, in the order of the command line and by path in a folder; and other files."""

    sets: tuple[Path, ...]
    skipped: tuple[SkippedFile, ...] = ()


def find_sets(paths: Sequence[Path], *, accepts_rubrics: bool = False) -> FoundSets:
    """Return the sets of files, folders, and patterns.

    In a folder, every file `.yaml` or `.yml` counts that has the keys of a set, also in folders below, but
    not in hidden ones. A file that the user names is a set, or an error. With `accepts_rubrics`, a folder
    needs a set or a rubric, and a named file may be anything beside one.

    Raises:
        InvalidInput: a folder or a pattern has no set, or a named file is none.
    """
    listed = [(path, _list_files(path)) for path in dict.fromkeys(paths)]
    files = _merge_files(listed)
    others = _find_others(files, {os.path.realpath(path) for path in paths})
    useful = {
        real for real in files if real not in others or (accepts_rubrics and others[real].is_rubric)
    }
    problems = [
        _explain_no_set(path, [others[real] for real in found])
        for path, found in listed
        if useful.isdisjoint(found) and (names_several(path) or not (accepts_rubrics and useful))
    ]
    if problems:
        raise InvalidInput(problems)
    return FoundSets(
        sets=tuple(path for real, path in files.items() if real not in others),
        skipped=tuple(others[real] for real in files if real in others),
    )


def list_sets(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the sets that `find_sets` finds, of those paths that lead to any.

    Raises:
        InvalidInput: a folder cannot be read.
    """
    listed = [
        (path, _list_files(path))
        for path in dict.fromkeys(paths)
        if path.exists() or names_several(path)
    ]
    files = _merge_files(listed)
    others = _find_others(files, {os.path.realpath(path) for path in paths})
    return tuple(path for real, path in files.items() if real not in others)


def _merge_files(listed: Iterable[tuple[Path, Mapping[str, Path]]]) -> dict[str, Path]:
    """Return each file once, by its real path, in the order of the command line."""
    files: dict[str, Path] = {}
    for _, found in listed:
        for real, each in found.items():
            files.setdefault(real, each)
    return files


def _find_others(files: Mapping[str, Path], named: Set[str]) -> dict[str, SkippedFile]:
    """Return what each file is that is no set. The user `named` some of them."""
    nodes = {
        real: None if path.name == PROJECT_FILE else _read_node(path)
        for real, path in files.items()
    }
    sets = {real for real, node in nodes.items() if _is_set(node)}
    # A file with the one key `cases` is a set, unless another set has its cases from there.
    of_cases = {
        name
        for real in sets
        for name in _list_case_files(files[real], nodes[real])
        if not _has_rules(nodes.get(name))
    }
    found = {}
    for real, path in files.items():
        other = _describe_other(path, nodes[real])
        if real in of_cases:
            found[real] = SkippedFile(path=path, reason="cases of a set")
        elif real not in sets and not (other.is_unknown and real in named):
            found[real] = other
    return found


def _list_files(path: Path) -> dict[str, Path]:
    """Return the file, or the YAML files in the folder or of the pattern, by their real paths."""
    files: dict[str, Path] = {}
    for each in _list_yaml_files(path) if names_several(path) else [path]:
        files.setdefault(os.path.realpath(each), each)
    return files


def _list_yaml_files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from _walk(path, {os.path.realpath(path)})
        return
    # Path.glob takes no absolute patterns.
    for name in sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207
        found = Path(name)
        if found.is_dir():
            yield from _walk(found, {os.path.realpath(found)})
        elif found.suffix.lower() in SET_SUFFIXES:
            yield found


def _walk(folder: Path, known: set[str]) -> Iterator[Path]:
    """Yield the YAML files of a folder and of those below; follow each link to a folder once.

    Raises:
        InvalidInput: a folder cannot be read.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name))
    except OSError as error:
        raise InvalidInput.single(f"{folder} cannot be read: {error.strerror}.") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            if entry.suffix.lower() in SET_SUFFIXES:
                yield entry
        elif (real := os.path.realpath(entry)) not in known:
            known.add(real)
            yield from _walk(entry, known)


def _read_node(path: Path) -> Node | None:
    """Return the content of a file; an invalid node if it may be meant as a set, and cannot be read."""
    where = Location(path=display_path(path))
    try:
        data = read_file(path)
    except UnreadableFile:
        return InvalidNode(where=where)
    found: list[Problem] = []
    node = parse_yaml(data, where.path, found)
    if not found:
        return node
    return InvalidNode(where=where) if _SET_LINE.search(data) else None


def _is_set(node: Node | None) -> bool:
    """Return whether a file is meant as an eval set; reading it as one says what is wrong with it."""
    if isinstance(node, InvalidNode):
        return True
    if not isinstance(node, MappingNode) or is_rubric(node):
        return False
    is_named = any(
        difflib.get_close_matches(key, _DECIDING_KEYS, n=1, cutoff=_SIMILARITY)
        for key in node.members
    )
    return is_named or len(_SHARED_KEYS & set(node.members)) > 1


def _has_rules(node: Node | None) -> bool:
    """Return whether a set has more than cases, so that no other set can have its cases from there."""
    return _is_set(node) and isinstance(node, MappingNode) and node.members.keys() != {"cases"}


def _describe_other(path: Path, node: Node | None) -> SkippedFile:
    if path.name == PROJECT_FILE:
        return SkippedFile(path=path, reason="the project file")
    if is_rubric(node):
        return SkippedFile(path=path, reason="a rubric", is_rubric=True)
    reason = "no key of an eval set" if isinstance(node, MappingNode) else "no mapping of keys"
    return SkippedFile(path=path, reason=reason, is_unknown=True)


def _list_case_files(path: Path, node: Node | None) -> Iterator[str]:
    """Yield the files that a set has its cases from."""
    members = node.members if isinstance(node, MappingNode) else {}
    cases = members["cases"].node if "cases" in members else None
    for item in cases.items if isinstance(cases, ListNode) else (cases,):
        if isinstance(item, Scalar):
            with suppress(ValueError):  # reading the set reports a name that is no path
                yield os.path.realpath(path.parent / item.text)


def _explain_no_set(path: Path, skipped: Iterable[SkippedFile]) -> Problem:
    others = [*skipped]
    if others and not names_several(path):
        return Problem(
            message=f"{others[0]} is no eval set. Name sets only. A folder, or a pattern in quotes, leaves out "
            f"other files."
        )
    if not others and not path.is_dir():
        return Problem(
            message=f"no file matches {str(path)!r}. Name a folder, or check the pattern."
        )
    found = "no YAML file"
    if others:
        more = ", ..." if len(others) > 3 else ""
        listed = ", ".join(map(str, others[:3]))
        found = f"no eval set among {format_count(len(others), 'YAML file')}: {listed}{more}"
    return Problem(
        message=f"{display_path(path)} contains {found}. Name a folder with eval sets, or begin with: "
        f"evalkit init"
    )
