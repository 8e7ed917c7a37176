"""Find the folders in which modules are searched, and the dotted name of the module in a file."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

DISTRIBUTION_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
"""A folder with one of these is a distribution, whose packages are in it or in its `src`."""

PREFIX = "evalkit_file_"
"""What the name of a module begins with if its own name is taken."""

MAX_FOLDERS = 3000
"""How many folders of a project are searched for a module that was not found."""


def list_search_folders(base: Path, root: Path) -> list[Path]:
    """Return `base`, then each distribution above it up to `root`, then `root`; each with its `src`."""
    inside = [folder for folder in base.parents if folder.is_relative_to(root) and folder != root]
    distributions = [folder for folder in (base, *inside) if _is_distribution(folder)]
    found = [base]
    for folder in (*distributions, root):
        found += [folder, *([folder / "src"] if _is_plain_folder(folder / "src") else [])]
    return list(dict.fromkeys(found))


def _is_distribution(folder: Path) -> bool:
    return any((folder / name).is_file() for name in DISTRIBUTION_FILES)


def _is_plain_folder(folder: Path) -> bool:
    return folder.is_dir() and not (folder / "__init__.py").is_file()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModuleFile:
    """A file as a module: `packages` are the folders of its packages, outermost first."""

    path: Path
    packages: tuple[Path, ...] = ()

    @property
    def top(self) -> Path:
        """The folder in which Python would search for the module, or for its outermost package."""
        return self.packages[0].parent if self.packages else self.path.parent

    @property
    def names(self) -> tuple[str, ...]:
        """The parts of the dotted name; another first part if Python or this process uses it."""
        parts = [folder.name for folder in self.packages]
        if self.path.name != "__init__.py" or not parts:
            parts.append(self.path.stem)
        first, *rest = parts
        outermost = self.packages[0] / "__init__.py" if self.packages else self.path
        known = sys.modules.get(first)
        # A file called json.py must not become `json` for the whole process.
        is_taken = first in sys.stdlib_module_names or (
            known is not None and getattr(known, "__file__", None) != str(outermost)
        )
        return (f"{PREFIX}{first}" if is_taken else first, *rest)


def locate_module(path: Path, folders: Sequence[Path]) -> ModuleFile:
    """Return a file as the member of its package, up to the outermost folder with an `__init__.py`.

    A file that imports relatively is a member of its folder even without an `__init__.py`, as for
    `python -m`; its packages then begin in the nearest of `folders` with enough folders between. These may
    have names such as `my-bot`, which no import can spell.
    """
    packages: list[Path] = []
    for folder in path.parents:
        if not (folder / "__init__.py").is_file() or not folder.name.isidentifier():
            break
        packages.insert(0, folder)
    level = 0 if packages else _find_relative_level(path)
    # The nearest first: its path has the most parts.
    for top in sorted({folder.resolve() for folder in folders}, key=lambda f: -len(f.parts)):
        between = path.parent.relative_to(top).parts if path.is_relative_to(top) else ()
        if len(packages) < level and not any("." in part for part in between):
            packages = [top.joinpath(*between[: count + 1]) for count in range(len(between))]
    return ModuleFile(path=path, packages=tuple(packages))


def _find_relative_level(path: Path) -> int:
    """Return the largest number of dots with which a relative import of a file begins."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return 0  # loading the file will show the problem
    return max(
        (node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0
    )


def list_modules(folders: Sequence[Path]) -> list[str]:
    """Return the names of the modules and regular packages in folders."""
    files = {path.stem for folder in folders for path in folder.glob("*.py")}
    packages = {path.parent.name for folder in folders for path in folder.glob("*/__init__.py")}
    return sorted((files | packages) - {"__init__"})


def find_in_project(module: str, root: Path) -> Path | None:
    """Return a file below `root` that could be the module, wherever it is; None if there is none."""
    *folders, last = module.split(".")
    for folder in _walk(root):
        place = folder.joinpath(*folders)
        for path in (place / f"{last}.py", place / last / "__init__.py"):
            if path.is_file():
                return path
    return None


def _walk(root: Path) -> Iterator[Path]:
    for folder, below, _ in islice(os.walk(root), MAX_FOLDERS):
        below[:] = sorted(
            name
            for name in below
            if name[0] != "." and name not in ("node_modules", "site-packages")
        )
        yield Path(folder)
