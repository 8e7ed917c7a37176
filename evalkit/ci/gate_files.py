"""Compute a digest for each file that a set names, which covers the files that it names in turn."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec

from evalkit.core.eval_set import Case, EvalSet
from evalkit.core.literals import Json
from evalkit.core.source_files import UnreadableFile, read_file, resolve_inside
from evalkit.evalset.calibrations import find_calibration_path
from evalkit.evalset.nodes import to_plain_value
from evalkit.evalset.yaml import parse_yaml
from evalkit.worker.limited_files import list_files

MAX_NAME_CHARS = 500
MAX_GATE_FILES = 1_000
"""Maximum number of files per name. A search that finds more has left the plugin's own code."""

NON_GATE_FIELDS = frozenset({"name", "path", "description", "agent", "cases", "digest"})
"""Fields of a set that name no file of the gate.

The agent is under test, and the texts of cases name no files. Metrics of cases are read separately.
"""


FOLDER_ARGUMENTS = ("folder", "hidden")
"""Arguments of metrics that name a whole folder: the tests that an output has to pass."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchFolders:
    """Where to look up names: in the set's folder, then in the project's root and its `src`."""

    base: Path
    root: Path

    def find(self, name: str, near: Path | None = None) -> Path | None:
        """Return the file of a name, if it exists inside the project; `near` is searched first."""
        if not 0 < len(name) < MAX_NAME_CHARS or not name.isprintable():
            return None
        for folder in (*([near] if near else []), self.base, self.root, self.root / "src"):
            try:
                path = resolve_inside(name, folder, self.root)
                if path.is_file():
                    return path
            except (UnreadableFile, OSError):
                continue
        return None

    def list(self, name: str) -> list[Path]:
        """Return the files of a folder of the set."""
        try:
            return list_files(resolve_inside(name, self.base, self.root))
        except (UnreadableFile, OSError):
            return []


def digest_files(evalset: EvalSet, folders: SearchFolders) -> Mapping[str, str]:
    """Return a digest for every string of a set that names a file: of that file and all that it uses.

    Code uses the modules that it imports and the files that it names. A YAML file uses the files that it
    names, and a rubric also its calibration, without which its thresholds decide nothing. Only contents
    count, so moving a file changes no digest.
    """
    found = {}
    for word in dict.fromkeys(_list_gate_words(evalset)):
        if start := _find_named_files(word, folders):
            found[word] = _digest_closure(start, folders)
    for word in dict.fromkeys(_list_copied_folders(evalset)):
        if start := folders.list(word):
            found[word] = _digest_closure(start, folders)
    return found


def _list_gate_words(evalset: EvalSet) -> Iterator[str]:
    """Yield every string of a set that may name a file of its gate."""
    for field in fields(EvalSet):
        if field.name not in NON_GATE_FIELDS:
            yield from _list_texts(msgspec.to_builtins(getattr(evalset, field.name)))
    for case in evalset.cases:
        yield from _list_texts(msgspec.to_builtins(case.metrics))


def _list_copied_folders(evalset: EvalSet) -> Iterator[str]:
    """Yield every folder from which a metric copies tests, for each case."""
    for case in evalset.cases:
        for spec in (*evalset.metrics, *case.metrics):
            named = (spec.args.get(name) for name in FOLDER_ARGUMENTS)
            yield from (expand_name(case, word) for word in named if isinstance(word, str))


def expand_name(case: Case, word: str) -> str:
    """Return the name of a file or folder, with the placeholder `{id}` filled in for a case."""
    return word.replace("{id}", case.id)


def _list_texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key != "where":
                yield from _list_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _list_texts(item)


def _find_named_files(word: str, folders: SearchFolders) -> list[Path]:
    """Return the files of a file name, `./file.py:attribute`, or `package.module:attribute`."""
    word = word.removeprefix("{set}/")
    place, colon, _ = word.rpartition(":")
    if colon and not place.endswith(".py"):
        return list(_find_module(place, folders, None))
    path = folders.find(place if colon else word)
    return [path] if path else []


def _digest_closure(start: Iterable[Path], folders: SearchFolders) -> str:
    """Return a digest of files and of all that they use, in the order in which they are named."""
    pending, digests = list(start), dict[Path, str]()
    while pending and len(digests) < MAX_GATE_FILES:
        path = pending.pop(0)
        if path in digests:
            continue
        try:
            data = read_file(path)
        except UnreadableFile as reason:
            data = str(reason).encode()
        digests[path] = hashlib.sha256(data).hexdigest()
        pending += _find_references(path, data, folders)
    return hashlib.sha256("\n".join(digests.values()).encode()).hexdigest()[:16]


def _find_references(path: Path, data: bytes, folders: SearchFolders) -> list[Path]:
    if path.suffix == ".py":
        return list(_find_code_references(path, data, folders))
    if path.suffix in (".yaml", ".yml"):
        node = parse_yaml(data, path.name, [])
        words = _list_texts(to_plain_value(node)) if node is not None else ()
        named = [file for word in words if (file := folders.find(word, path.parent))]
        calibration = folders.find(find_calibration_path(path).name, path.parent)
        return [*named, calibration] if calibration else named
    return []


def _find_code_references(path: Path, data: bytes, folders: SearchFolders) -> Iterator[Path]:
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # the metric that loads it reports the error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _find_module(alias.name, folders, path.parent)
        elif isinstance(node, ast.ImportFrom):
            yield from _find_import_references(node, path, folders)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = folders.find(node.value, path.parent) if "." in node.value else None
            yield from [named] if named else []


def _find_import_references(
    node: ast.ImportFrom, path: Path, folders: SearchFolders
) -> Iterator[Path]:
    near, name = path.parent, node.module or ""
    if node.level:
        for _ in range(node.level - 1):
            near = near.parent
        folders = SearchFolders(base=near, root=folders.root)
    if name:
        yield from _find_module(name, folders, near)
    for alias in node.names:
        yield from _find_module(f"{name}.{alias.name}".lstrip("."), folders, near)


def _find_module(name: str, folders: SearchFolders, near: Path | None) -> Iterator[Path]:
    """Yield the file of a module, after those of its packages."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return
    for count in range(1, len(parts) + 1):
        place = "/".join(parts[:count])
        for file in (f"{place}/__init__.py", f"{place}.py"):
            if found := folders.find(file, near):
                yield found
