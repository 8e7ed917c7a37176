"""Keeps code of a checkout from being loaded where its files at another commit stand in for it."""

from __future__ import annotations

import sys
from pathlib import Path

from evalkit.worker.object_loader import LoadFailure


def _find_replacement(path: str, root: Path, checkout: Path) -> Path | None:
    """What stands in for a file or folder of the checkout, if anything does."""
    place = Path(path)
    if not place.is_relative_to(checkout):
        return None  # a library, or the other commit's own
    other = root / place.relative_to(checkout)
    return other if other.exists() else None


def redirect_search_path(root: Path, checkout: Path) -> None:
    """Let every folder that Python searches give way to what stands in for it.

    An installation in editable mode is such a folder: it would lead to the checkout's code.
    """
    sys.path[:] = [str(_find_replacement(path, root, checkout) or path) for path in sys.path]


def refuse_checkout_modules(root: Path, checkout: Path) -> None:
    """Make sure that no module came from the checkout that has a counterpart at the other commit.

    Raises:
        LoadFailure: one did.
    """
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if module.__name__.partition(".")[0] == "evalkit" or not isinstance(file, str):
            continue
        if _find_replacement(file, root, checkout):
            raise LoadFailure(
                f"{file} was loaded, which is of the checkout, not of the commit compared with. Keep "
                f"what a set names beside it, in the project's root or in src."
            )
