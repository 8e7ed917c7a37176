"""A reference to Python code (`module:attr`, `./file.py:attr`) as the object it names; runs in the worker."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TypeVar

T = TypeVar("T")

WORKER_FOLDER = str(Path(__file__).parent)
MAX_FRAMES = 8
MAX_MESSAGE_CHARS = 500


class LoadFailure(Exception):
    """The object cannot be loaded or used: every reason, and the last lines of its traceback."""

    def __init__(self, *reasons: str, detail: str = "") -> None:
        super().__init__(*reasons)
        self.reasons = reasons
        self.detail = detail


class BadReply(Exception):
    """A call returned what it may not; the message says what it may."""


def suggest_near_name(name: str, known: Iterable[str]) -> str:
    """Suggest the nearest spelling among the names there are, as the end of a sentence."""
    close = get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def describe_exception(error: BaseException) -> str:
    """`TypeName: text` of an exception, whatever its own text does."""
    name = type(error).__name__
    try:
        text = str(error)
    except BaseException:  # a broken __str__ must not take the worker along
        text = "(its text cannot be shown)"
    return f"{name}: {text[:MAX_MESSAGE_CHARS]}" if text else name


def format_user_traceback(error: BaseException) -> str:
    """Show the user's own last frames of an exception, without evalkit's and the import system's."""
    frames = [
        frame
        for frame in traceback.extract_tb(_last_frames(error.__traceback__))
        if not frame.filename.startswith((WORKER_FOLDER, "<frozen importlib"))
    ]
    if isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(error)).rstrip()
    return "".join(traceback.format_list(frames[-MAX_FRAMES:])).rstrip()


def _last_frames(trace: TracebackType | None) -> TracebackType | None:
    """Leave out the beginning of a long traceback: a RecursionError has a thousand frames."""
    frames = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    return frames[-4 * MAX_FRAMES :][0] if frames else None


def run_user_code(load: Callable[[], T]) -> T:
    """Run a module's or a class's own code, which may do anything, before the first call.

    Raises:
        LoadFailure: it raised, SystemExit included.
    """
    try:
        return load()
    except BaseException as error:
        raise LoadFailure(describe_exception(error), detail=format_user_traceback(error)) from error


def is_async(function: Callable[..., object]) -> bool:
    """Whether calling it gives a coroutine: an async function, or an object with an async call."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - not whether, but which
    )


def read_signature(function: Callable[..., object]) -> inspect.Signature | None:
    """The signature, or None where C code does not tell."""
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        return None


def load_object(ref: str, base: Path, root: Path) -> tuple[object, str]:
    """Import what `ref` names; return it and the SHA-256 of the file that defines it.

    Modules are looked for in `base`, then `root`, then where Python looks; a file's own folder comes
    before them, as it does for a script.

    Raises:
        LoadFailure: it cannot be imported, or has no such attribute.
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


def _import_file(path: Path) -> ModuleType:
    _prepend_search_path([path.parent])
    # Under the file's own name, so that a module that imports it back meets the same objects; but a
    # file called json.py must not become `json` for everybody.
    taken = path.stem in sys.modules or path.stem in sys.stdlib_module_names
    name = f"evalkit_file_{path.stem}" if taken else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadFailure(f"{path} is not Python source.")
    loader = spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    run_user_code(lambda: loader.exec_module(module))
    return module


def _import_module(name: str, folders: list[Path]) -> ModuleType:
    try:
        missing = importlib.util.find_spec(name.partition(".")[0]) is None
    except (ImportError, ValueError):
        missing = False
    if missing:
        files = {path.stem for folder in folders for path in folder.glob("*.py")}
        packages = {path.parent.name for folder in folders for path in folder.glob("*/__init__.py")}
        raise LoadFailure(
            f"there is no module {name!r} in {' or '.join(dict.fromkeys(map(str, folders)))}, "
            f"nor is one installed.{suggest_near_name(name, sorted(files | packages))}"
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
    """Digest the file that defines an object, or the module it was found in; empty for C code."""
    home = sys.modules.get(getattr(found, "__module__", None) or "", module)
    source = getattr(home, "__file__", None)
    if source is None or not Path(source).is_file():
        return ""
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()
