"""Find the sets that the arguments of a command lead to at the base, and that the command does not run now."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from evalkit.ci.base_files import Checkout
from evalkit.ci.base_sets import read_set_places
from evalkit.ci.changed_files import list_changed_files
from evalkit.core.context import Context
from evalkit.core.errors import NothingSelected
from evalkit.core.eval_set import EvalSet
from evalkit.core.source_files import display_path
from evalkit.evalset.project import Project
from evalkit.evalset.selection import Selection, select_cases
from evalkit.evalset.set_files import list_sets


@dataclass(frozen=True, kw_only=True, slots=True)
class UnrunSet:
    """A set of the base that a command would have run there, and that nothing in it runs now.

    `path` is its path in the working tree, as messages show it.
    """

    path: str
    base: str

    @property
    def problem(self) -> str:
        """What is wrong and what to do."""
        return (
            f"at {self.base}, this command runs this set; now it does not, and no other set that it runs has "
            f"the cases. Restore the set where it was, or approve the change with --accept-gate-changes."
        )


def find_unrun_sets(
    arguments: Sequence[Path],
    running: Sequence[Path],
    selection: Selection,
    base: Checkout,
    context: Context,
) -> tuple[UnrunSet, ...]:
    """Return the sets of the base with a selected case that no running set is compared with.

    Args:
        arguments: the files, folders, and patterns of the command line.
        running: the sets of the repository that they lead to now, and in which a case is selected.
        selection: the cases that the command line selects.
        base: the files of the base.
        context: the environment of the command.

    Raises:
        InvalidInput: a folder of the base cannot be read.
    """
    there = [path for each in arguments if (path := _locate(each, base)) is not None]
    here = {base.locate(path).relative_to(base.tree).as_posix(): path for path in running}
    missing: list[str] = []
    for path in list_sets(there):
        place = path.relative_to(base.tree).as_posix()
        if place not in here:
            evalset, _ = Project(path.parent, base.tree, context.environ).load(path)
            if _selects_any(evalset, selection):
                missing.append(place)
    if not missing:
        return ()
    files = list_changed_files(base.repository.top, base.tree, base.repository.environ)
    own = {place: Project.open(context, path).load(path)[0] for place, path in here.items()}
    sets = read_set_places(files, own, Project.open(context))
    lost = sets.find_lost()
    taken = {source.place for place in here for source in sets.find_sources(place, lost)}
    return tuple(
        UnrunSet(path=display_path(base.repository.top / place), base=str(base.commit))
        for place in missing
        if place not in taken and place not in files.left_out
    )


def _locate(argument: Path, base: Checkout) -> Path | None:
    """Return where an argument leads to in the files of the base; None if to no file of the repository."""
    top = base.repository.top
    path = Path(os.path.abspath(argument))  # noqa: PTH100 - does not follow symlinks
    if not path.is_relative_to(top):
        path = Path(os.path.realpath(argument))
    rest = _list_parts_below(path, top)
    if rest is None:
        return None
    # A part of the temporary folder's name is no pattern.
    is_pattern = any(glob.has_magic(part) for part in rest)
    return Path(glob.escape(str(base.tree)) if is_pattern else base.tree, *rest)


def _list_parts_below(path: Path, top: Path) -> tuple[str, ...] | None:
    """Return the parts of a path or pattern below a folder, none if it names the folder or one above."""
    if path.is_relative_to(top):
        return path.relative_to(top).parts
    above = path.parts[: len(top.parts)]
    if "**" in above:
        return path.parts[above.index("**") :]
    # The pattern of a folder above the repository can match the repository.
    is_match = all(
        fnmatchcase(name, pattern) for name, pattern in zip(top.parts, above, strict=False)
    )
    return path.parts[len(top.parts) :] if is_match else None


def _selects_any(evalset: EvalSet, selection: Selection) -> bool:
    known = {case.id for case in evalset.cases}
    wanted = tuple(case_id for case_id in selection.case_ids if case_id in known)
    if selection.case_ids and not wanted:
        return False
    try:
        return bool(select_cases(evalset.cases, replace(selection, case_ids=wanted, shard=None)))
    except NothingSelected:
        return not evalset.cases
