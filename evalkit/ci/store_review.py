"""Find out who put the store and the baseline where they are: links, submodules, and committed files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.ci.base_files import Checkout
from evalkit.core.ci_markers import is_ci
from evalkit.core.context import Context
from evalkit.core.errors import ApprovalNeeded
from evalkit.core.file_marks import iter_entries
from evalkit.core.git import read_git
from evalkit.core.source_files import display_path
from evalkit.evalset.project import Project

STORE_OPTION = "--store"

_LINK, _SUBMODULE = "120000", "160000"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreTerms:
    """What the command line and the base allow.

    `folder` is where `--store` says that links may lead. `base` is the base of the change, if it is known. With `accept`, the change's edits are approved.
    """

    folder: Path | None = None
    base: Checkout | None = None
    accept: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finding:
    """A file that could have been prepared: its path, what it is, and what to do."""

    path: Path
    what: str
    advice: str
    is_from_change: bool = False


def review_store(
    path: Path, baseline: Path, terms: StoreTerms, project: Project, context: Context
) -> None:
    """Refuse a store or baseline that the change could have prepared; outside of CI, warn of links.

    `path` is the set as the user wrote it, and `baseline` its own baseline, which need not exist.

    Raises:
        ApprovalNeeded: names each such path, and what to do.
    """
    refused: list[str] = []
    warned: list[str] = []
    for each in _find_all(path, baseline, terms, project):
        text = f"{display_path(each.path)} {each.what}. {each.advice}"
        # On a developer's machine, what is not committed was put there by the developer.
        (refused if is_ci(project.environ) or each.is_from_change else warned).append(text)
    for text in warned:
        context.say(f"warning: {text}")
    if refused:
        raise ApprovalNeeded("\n".join(refused))


def _find_all(
    path: Path, baseline: Path, terms: StoreTerms, project: Project
) -> Iterator[_Finding]:
    store = project.root / ".evalkit"
    top = _find_top(path.parent)
    tracked = _list_tracked([store, baseline.parent], project)
    at_base = _list_at_base(terms.base)
    yield from _find_outside_root(top, terms, project)
    links = [each for each in (store, baseline.parent, baseline) if _is_link(each)]
    repositories = []
    for entry in iter_entries(store):
        if entry.is_symlink():
            links.append(Path(entry.path))
        if entry.name == ".git":
            repositories.append(Path(entry.path).parent)
    for link in links:
        # What a link of the base leads to in the checkout is compared with the base, like any file.
        is_known = link in tracked and at_base.get(link) == tracked[link]
        is_reviewed = is_known and not link.is_relative_to(store) and _leads_into(link, top)
        if is_reviewed or _leads_into(link, terms.folder) or (terms.accept and link in tracked):
            continue
        yield _Finding(
            path=link,
            what=f"is a link to {os.path.realpath(link)}",
            advice=f"Remove it, or give the command line {STORE_OPTION} {_shown_target(link)}",
            is_from_change=terms.base is not None and link in tracked,
        )
    if top and not terms.accept and _is_submodule(top, project):
        yield _Finding(
            path=top,
            what="is a git submodule, so that the base of the change does not contain the gate",
            advice="Run evalkit in its folder with --base, or keep the set in this repository.",
        )
    if _is_top(baseline.parent) and Path(os.path.abspath(baseline.parent)) != top:  # noqa: PTH100
        repositories.append(baseline.parent)
    for folder in repositories:
        yield _Finding(
            path=folder,
            what="is a git submodule or another repository, whose files the base does not contain",
            advice="Keep the files in this repository, or outside of git.",
            is_from_change=terms.base is not None,
        )
    for file, (mode, _) in tracked.items():
        # With a base, the review of the gate lists files that a change commits to the store.
        if not file.is_relative_to(store) or terms.accept or mode == _LINK:
            continue
        if mode == _SUBMODULE or terms.base is None:
            yield _Finding(
                path=file,
                what="is committed in the store of runs and verdicts, where it could be forged",
                advice=f"Remove it: git rm -r --cached {display_path(store)}",
                is_from_change=terms.base is not None,
            )
            return


def _find_outside_root(top: Path | None, terms: StoreTerms, project: Project) -> Iterator[_Finding]:
    """Yield a finding if a link leads from the checkout to a set, and so to a store, outside of it."""
    if top is None or project.root.is_relative_to(os.path.realpath(top)):
        return
    if not _leads_into(project.root, terms.folder):
        yield _Finding(
            path=project.root,
            what="is outside of the checkout, and so is the store in it",
            advice=f"Remove the link that leads there, or give the command line {STORE_OPTION} "
            f"{project.root}",
        )


def _is_link(path: Path) -> bool:
    return os.path.islink(path)  # noqa: PTH114 - Path.is_symlink raises where access is denied


def _leads_into(link: Path, folder: Path | None) -> bool:
    return folder is not None and Path(os.path.realpath(link)).is_relative_to(
        os.path.realpath(folder)
    )


def _shown_target(link: Path) -> str:
    target = Path(os.path.realpath(link))
    return str(target if target.is_dir() else target.parent)


def _find_top(folder: Path) -> Path | None:
    """Return the top of the repository of a folder, by its path as the user wrote it."""
    lexical = Path(os.path.abspath(folder))  # noqa: PTH100 - a link must not lead out of it
    return next((each for each in (lexical, *lexical.parents) if _is_top(each)), None)


def _is_top(folder: Path) -> bool:
    return os.path.lexists(folder / ".git")


def _is_submodule(top: Path, project: Project) -> bool:
    """Return whether a set's repository is a submodule of the one in whose folder the command runs."""
    outer = _find_top(top.parent)
    if outer is None or not project.cwd.is_relative_to(outer) or project.cwd.is_relative_to(top):
        return False
    name = os.path.relpath(top, outer)
    listed = read_git(outer, project.environ, "ls-files", "--stage", "--", name)
    return listed.startswith(_SUBMODULE.encode())


def _list_tracked(folders: list[Path], project: Project) -> Mapping[Path, tuple[str, str]]:
    """Return the mode and the blob of everything that git's index has in these folders, by path."""
    named = [os.path.relpath(folder, project.root) for folder in folders]
    output = read_git(project.root, project.environ, "ls-files", "--stage", "-z", "--", *named)
    found = {}
    for row in filter(None, output.split(b"\0")):
        description, _, name = row.partition(b"\t")
        mode, blob, _ = description.decode().split(" ")
        found[project.root / os.fsdecode(name)] = (mode, blob)
    return found


def _list_at_base(base: Checkout | None) -> Mapping[Path, tuple[str, str]]:
    """Return the mode and the blob of each file of the base, by its path in the working tree."""
    if base is None:
        return {}
    entries = base.repository.read_tree(base.commit.sha)
    return {base.repository.top / each.path: (each.mode, each.sha) for each in entries}
