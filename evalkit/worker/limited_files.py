"""Write files to relative paths in a folder, and never outside of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

MAX_FILES = 1_000
MAX_CHARS = 10_000_000
MAX_PATH_BYTES = 200


class RejectedFiles(Exception):
    """Files cannot be written to a folder; the message is for the author of the files."""


def check_path(name: str) -> None:
    """Raise RejectedFiles for a path that is not a plain relative one."""
    parts = name.split("/")
    plain = name.isprintable() and "\\" not in name and not PurePosixPath(name).is_absolute()
    if not plain or not name or any(part in ("", ".", "..") for part in parts):
        raise RejectedFiles(f"{name[:80]!r} is not a path inside the folder, such as src/main.py")
    if len(name.encode()) > MAX_PATH_BYTES:
        raise RejectedFiles(f"the path {name[:80]!r}… is longer than {MAX_PATH_BYTES} bytes")


def check_files(files: Mapping[str, str]) -> None:
    """Raise RejectedFiles for paths that leave the folder, and for too many or too large files."""
    if len(files) > MAX_FILES:
        raise RejectedFiles(f"{len(files):,} files; at most {MAX_FILES:,} are allowed")
    for name in files:
        check_path(name)
    if sum(map(len, files.values())) > MAX_CHARS:
        raise RejectedFiles(f"the files are larger than {MAX_CHARS:,} characters in all")


def write_files(files: Mapping[str, str], folder: Path) -> None:
    """Write files into a folder and overwrite existing ones.

    Raises:
        RejectedFiles: a path leaves the folder, directly or through a link, or cannot be written.
    """
    check_files(files)
    inside = folder.resolve()
    for name, content in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A file written earlier, or one of the task's own, may be a link to another folder.
            if path.is_symlink() or not path.parent.resolve().is_relative_to(inside):
                raise RejectedFiles(f"{name!r} is a link that leads out of the folder")
            path.write_text(content, encoding="utf-8", errors="surrogatepass", newline="")
        except OSError as error:
            reason = error.strerror or str(error)
            raise RejectedFiles(f"{name!r} cannot be written: {reason}") from error


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder into another; copy links as links, and skip sockets, devices and pipes."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=_list_special_files)


def _list_special_files(folder: str, names: list[str]) -> list[str]:
    def is_plain(path: Path) -> bool:
        return path.is_symlink() or path.is_file() or path.is_dir()

    return [name for name in names if name == "__pycache__" or not is_plain(Path(folder, name))]


def list_files(folder: Path) -> list[Path]:
    """Return every file below a folder that `copy_folder` would copy, sorted."""
    return sorted(
        Path(parent, name)
        for parent, folders, names in os.walk(folder)
        if "__pycache__" not in Path(parent).parts
        for name in names
    )
