"""Explain why a module was not found: where it was searched, and what to write instead."""

from __future__ import annotations

import os
import pkgutil
import sys
from pathlib import Path

from evalkit.worker.module_paths import find_in_project, list_modules, list_search_folders
from evalkit.worker.user_code import suggest_near_name


def describe_missing_module(ref: str, missing: str, base: Path, root: Path) -> str:
    """Return why the module of a reference was not found; `missing` is the part that is missing."""
    module, _, attribute = ref.rpartition(":")
    package, _, name = missing.rpartition(".")
    if package:
        place = list(getattr(sys.modules.get(package), "__path__", []))
        if not place:
            file = getattr(sys.modules.get(package), "__file__", None) or "a built-in module"
            return f"there is no module {missing!r}: {package!r} is {file}, not a package."
        known = sorted(entry.name for entry in pkgutil.iter_modules(place))
        message = f"the package {package!r} in {place[0]} has no module {name!r}."
        near = suggest_near_name(name, known)
    else:
        folders = list_search_folders(base, root)
        places = " or ".join(dict.fromkeys(map(str, folders)))
        message = f"there is no module {module!r} in {places}, and none is installed."
        near = suggest_near_name(missing, list_modules(folders))
    found = find_in_project(module, root)
    if found is None:
        return f"{message}{near}"
    written = os.path.relpath(found, base)
    dotted = "" if written.startswith(os.pardir) else "./"
    return f"{message} {written} exists. Write '{dotted}{written}:{attribute}'."


def find_import_advice(error: ImportError, base: Path, root: Path) -> str:
    """Return what to do about an import that failed in the user's code; empty if it is unknown."""
    if "no known parent package" in str(error):
        return "The file is in no package: import without the dot, or move it into a folder of the project."
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    top = error.name.partition(".")[0]
    if top in sys.modules:
        return ""
    near = suggest_near_name(top, list_modules(list_search_folders(base, root)))
    found = find_in_project(error.name, root)
    if found is not None:
        return f"{os.path.relpath(found, root)} is not in the search path. Set PYTHONPATH."
    return near.strip() or f"Install it for the Python that runs evalkit: {sys.executable}"
