"""Load the modules of a project from their source, never from cached bytecode."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from types import CodeType

from evalkit.worker.installed import InstalledSoftware

_load_code = SourceFileLoader.get_code


def load_from_source(installed: InstalledSoftware) -> None:
    """From now on, let this process compile every module that is not installed.

    Python takes bytecode for current if size and second of the file are the same. After a quick edit,
    it would run the module as it was before.
    """

    def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
        path = loader.get_filename(name)
        if path in installed:
            return _load_code(loader, name)
        return loader.source_to_code(loader.get_data(path), path)

    # The class, because the finder of an editable installation makes such loaders as well.
    SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]
