"""Find out from the source of a Python file whether it defines a name, without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.worker.module_paths import list_search_folders
from evalkit.worker.user_code import suggest_near_name

SHOWN_FUNCTIONS = 8

_DYNAMIC_CALLS = {"exec", "globals", "setattr", "vars"}
"""Functions by which a file can define names that its source does not show."""

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, kw_only=True, slots=True)
class DefinedNames:
    """The names that a file defines at its top; with `is_open`, it may define others."""

    names: frozenset[str]
    functions: tuple[str, ...]
    is_open: bool


def read_defined_names(source: bytes) -> DefinedNames:
    """Return the names that a file defines.

    Raises:
        SyntaxError: it is not valid Python.
    """
    try:
        tree = ast.parse(source)
    except (ValueError, RecursionError) as error:
        raise SyntaxError(str(error)) from error
    nodes = sorted(_iter_top(tree.body), key=lambda node: getattr(node, "lineno", 0))
    calls = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    names = frozenset(name for node in nodes for name in _list_bound(node))
    functions = [
        node.name
        for node in nodes
        if isinstance(node, _Definition) and not node.name.startswith("_")
    ]
    return DefinedNames(
        names=names,
        functions=tuple(dict.fromkeys(functions)),
        is_open="*" in names or "__getattr__" in names or bool(calls & _DYNAMIC_CALLS),
    )


def _iter_top(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """Yield every node outside of functions and classes, and these themselves."""
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop(0)
        yield node
        if not isinstance(node, _Definition | ast.Lambda):
            pending += ast.iter_child_nodes(node)


def _list_bound(node: ast.AST) -> list[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Name(ctx=ast.Store()):
            return [node.id]
        case ast.Import() | ast.ImportFrom():
            return [each.asname or each.name.partition(".")[0] for each in node.names]
    return []


def describe_missing_name(source: bytes, place: str, attribute: str) -> str:
    """Return why a file has no such function, and which it has; empty if it could have it.

    `place` names the file for the message. Of an attribute such as `Bot.answer`, only the first name is
    looked up.
    """
    try:
        defined = read_defined_names(source)
    except SyntaxError as error:
        return f"{place} is not valid Python: line {error.lineno or 1}: {error.msg}."
    name = attribute.partition(".")[0]
    if defined.is_open or name in defined.names:
        return ""
    near = suggest_near_name(name, defined.names)
    return f"{place} has no {name!r}.{near}{list_functions(defined)}"


def list_functions(defined: DefinedNames) -> str:
    """Return a sentence with the public functions and classes of a file, after a space."""
    shown = ", ".join(defined.functions[:SHOWN_FUNCTIONS])
    more = ", ..." if len(defined.functions) > SHOWN_FUNCTIONS else ""
    return f" It defines {shown}{more}." if shown else " It defines no function."


def find_module_file(module: str, base: Path, root: Path) -> Path | None:
    """Return the source of a module below the folders where the project's modules are searched."""
    for folder in list_search_folders(base, root):
        place = folder.joinpath(*module.split("."))
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return path
    return None
