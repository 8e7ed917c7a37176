"""Import the Python object that a reference names: `module:attribute` or `./file.py:attribute`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from evalkit.worker.user_code import LoadFailure, run_user_code, suggest_near_name


def load_object(ref: str, base: Path, root: Path) -> tuple[object, str]:
    """Import what `ref` names; return it and the SHA-256 of the file that defines it.

    Search for modules in `base`, then in `root`, then where Python searches. The folder of a file comes
    before all of these, as it does for a script.

    Raises:
        LoadFailure: the module cannot be imported, or has no such attribute.
    """
    place, _, attribute = ref.rpartition(":")
    _prepend_search_path([base, root])
    if place.endswith(".py"):
        module = _import_file((base / place).resolve())
    else:
        module = _import_module(place, [base, root])
    found = _get_attribute(module, attribute, place)
    return found, _source_digest(found, module)


def _prepend_search_path(folders: list[Path]) -> None:
    paths = list(dict.fromkeys(str(folder) for folder in folders))
    sys.path[:] = paths + [path for path in sys.path if path not in paths]


class _SourceLoader(SourceFileLoader):
    """Load a file from its source, never from cached bytecode.

    Python takes bytecode for current if size and second of the file are the same. After a quick edit,
    it would run the agent as it was before.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _import_file(path: Path) -> ModuleType:
    _prepend_search_path([path.parent])
    # The module has the file's own name, so that other modules that import it get the same objects.
    # But a file called json.py must not become `json` for the whole process.
    is_name_taken = path.stem in sys.modules or path.stem in sys.stdlib_module_names
    name = f"evalkit_file_{path.stem}" if is_name_taken else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadFailure(f"{path} is not Python source.")
    if isinstance(spec.loader, SourceFileLoader):
        spec.loader = _SourceLoader(name, str(path))
    loader = spec.loader
    module = importlib.util.module_from_spec(spec)
    # Before its code runs, as Python does: dataclasses and pickle look their module up.
    sys.modules[name] = module
    run_user_code(lambda: loader.exec_module(module))
    return module


def _import_module(name: str, folders: list[Path]) -> ModuleType:
    # Only the first part is searched: to find a submodule, Python would import the package.
    try:
        missing = importlib.util.find_spec(name.partition(".")[0]) is None
    except (ImportError, ValueError):
        missing = False
    if missing:
        files = {path.stem for folder in folders for path in folder.glob("*.py")}
        packages = {path.parent.name for folder in folders for path in folder.glob("*/__init__.py")}
        raise LoadFailure(
            f"there is no module {name!r} in {' or '.join(dict.fromkeys(map(str, folders)))}, "
            f"and none is installed.{suggest_near_name(name, sorted(files | packages))}"
        )
    run_user_code(lambda: importlib.import_module(name))
    return sys.modules[name]


def _get_attribute(module: ModuleType, path: str, place: str) -> object:
    found: object = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            public = [known for known in dir(found) if not known.startswith("_")]
            raise LoadFailure(
                f"{place} has no {name!r}.{suggest_near_name(name, public)}"
            ) from None
    return found


def _source_digest(found: object, module: ModuleType) -> str:
    """Return the digest of the file that defines an object, or of its module; empty for C code."""
    home = sys.modules.get(getattr(found, "__module__", None) or "", module)
    source = getattr(home, "__file__", None)
    if source is None or not Path(source).is_file():
        return ""
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()
