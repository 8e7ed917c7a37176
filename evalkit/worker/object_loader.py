"""Import the Python object that a reference names: `module:attribute` or `./file.py:attribute`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from evalkit.worker.installed import InstalledSoftware
from evalkit.worker.missing_module import describe_missing_module, find_import_advice
from evalkit.worker.module_paths import ModuleFile, list_search_folders, locate_module
from evalkit.worker.source_loader import load_from_source
from evalkit.worker.user_code import LoadFailure, run_user_code, suggest_near_name

SHOWN_NAMES = 8


def load_object(ref: str, base: Path, root: Path) -> tuple[object, str]:
    """Import what `ref` names; return it and the SHA-256 of the file that defines it.

    Search for modules in the folders of `list_search_folders`, then where Python searches. A file in a
    package is imported as the package's member. The folder of any other file comes before all of these
    folders, as it does for a script.

    Raises:
        LoadFailure: the module cannot be imported, or has no such attribute.
    """
    place, _, attribute = ref.rpartition(":")
    folders = list_search_folders(base, root)
    load_from_source(InstalledSoftware([base, root]))
    _prepend_search_path(folders)
    try:
        if place.endswith(".py"):
            module = _import_file(locate_module((base / place).resolve(), folders))
        else:
            module = _import_module(place)
    except LoadFailure as failure:
        reasons = _explain(failure, ref, base, root)
        raise LoadFailure(*reasons, detail=failure.detail) from failure.__cause__
    found = _get_attribute(module, attribute, place)
    return found, _source_digest(found, module)


def _explain(failure: LoadFailure, ref: str, base: Path, root: Path) -> tuple[str, ...]:
    """Return the reasons of a failure, with what to do if a module was not found."""
    module = ref.rpartition(":")[0]
    error = failure.__cause__
    missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    if missing and not module.endswith(".py") and f"{module}.".startswith(f"{missing}."):
        return (describe_missing_module(ref, missing, base, root),)
    advice = find_import_advice(error, base, root) if isinstance(error, ImportError) else ""
    *first, last = failure.reasons
    return (*first, f"{last.rstrip('.')}. {advice}" if advice else last)


def _prepend_search_path(folders: Sequence[Path]) -> None:
    paths = list(dict.fromkeys(str(folder) for folder in folders))
    sys.path[:] = paths + [path for path in sys.path if path not in paths]


def _import_file(file: ModuleFile) -> ModuleType:
    _prepend_search_path([file.top])
    if file.packages and str(file.path.parent) not in sys.path:
        # Last, so that no module of the package hides another one: it may be called `logging`.
        sys.path.append(str(file.path.parent))
    names = file.names
    dotted = [".".join(names[: count + 1]) for count in range(len(names))]
    for name, folder in zip(dotted, file.packages, strict=False):
        _load_package(name, folder)
    if len(dotted) > len(file.packages):
        _load(dotted[-1], importlib.util.spec_from_file_location(dotted[-1], file.path))
    return sys.modules[dotted[-1]]


def _load_package(name: str, folder: Path) -> None:
    source = folder / "__init__.py"
    if source.is_file():
        search = [str(folder)]
        spec = importlib.util.spec_from_file_location(
            name, source, submodule_search_locations=search
        )
    else:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
    _load(name, spec)


def _load(name: str, spec: ModuleSpec | None) -> None:
    """Import a module by its specification, unless it or its package has imported it already."""
    if name in sys.modules:
        return
    if spec is None:
        raise LoadFailure(f"{name} is not Python source.")
    module = importlib.util.module_from_spec(spec)
    # Before its code runs, as Python does: dataclasses and pickle look their module up.
    sys.modules[name] = module
    if spec.loader is not None:
        run_user_code(lambda: spec.loader.exec_module(module))  # type: ignore[union-attr]
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, sys.modules[name])


def _import_module(name: str) -> ModuleType:
    run_user_code(lambda: importlib.import_module(name))
    return sys.modules[name]


def _get_attribute(module: ModuleType, path: str, place: str) -> object:
    found: object = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            public = [known for known in dir(found) if not known.startswith("_")]
            advice = suggest_near_name(name, public) or _list_functions(found)
            raise LoadFailure(f"{place} has no {name!r}.{advice}") from None
    return found


def _list_functions(owner: object) -> str:
    """Return ` It has ...` with the functions and classes that a module defines; may be empty."""
    defined = [
        name
        for name, value in getattr(owner, "__dict__", {}).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", None) == getattr(owner, "__name__", "")
    ]
    return f" It has {', '.join(defined[:SHOWN_NAMES])}." if defined else ""


def _source_digest(found: object, module: ModuleType) -> str:
    """Return the digest of the file that defines an object, or of its module; empty for C code."""
    home = sys.modules.get(getattr(found, "__module__", None) or "", module)
    source = getattr(home, "__file__", None)
    if source is None or not Path(source).is_file():
        return ""
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()
