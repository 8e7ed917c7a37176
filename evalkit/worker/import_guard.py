"""Prevent the import of modules from the checkout when another commit of it is evaluated."""

from __future__ import annotations

import sys
from pathlib import Path

from evalkit.worker.user_code import LoadFailure


def _find_replacement(path: str, root: Path, checkout: Path) -> Path | None:
    """Return the other commit's version of a file or folder of the checkout, if there is one."""
    original = Path(path)
    if not original.is_relative_to(checkout):
        return None  # a library, or a file of the other commit
    replacement = root / original.relative_to(checkout)
    return replacement if replacement.exists() else None


def redirect_search_path(root: Path, checkout: Path) -> None:
    """Replace every folder in `sys.path` that belongs to the checkout by the other commit's version.

    An editable installation adds such a folder, from which Python would import the checkout's code.
    """
    sys.path[:] = [str(_find_replacement(path, root, checkout) or path) for path in sys.path]


def refuse_checkout_modules(root: Path, checkout: Path) -> None:
    """Check that no loaded module is a file of the checkout that also exists at the other commit.

    Raises:
        LoadFailure: there is such a module.
    """
    for module in list(sys.modules.values()):
        # evalkit's own files are in the checkout when its own repository is evaluated.
        file = getattr(module, "__file__", None)
        if module.__name__.partition(".")[0] == "evalkit" or not isinstance(file, str):
            continue
        if _find_replacement(file, root, checkout):
            raise LoadFailure(
                f"{file} was loaded from the checkout, not from the commit it is compared with. Keep "
                f"the files that an eval set names in its folder, in the project's root or in src."
            )
