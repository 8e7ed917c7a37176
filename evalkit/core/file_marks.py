"""Recognize files that were written since they were marked, without reading them.

A mark has the time of the last change of the inode (ctime), which a program cannot set, unlike the
modification time. A file that was moved here keeps its ctime, but has another inode.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

FileMark: TypeAlias = tuple[int, int, int, int]
"""Device, inode, size in bytes, and ctime in nanoseconds of a file."""


def mark_status(status: os.stat_result) -> FileMark:
    """Return the mark of the file with this status."""
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


def mark_file(path: Path) -> FileMark | None:
    """Return the mark of a file or link itself; None if it is missing or inaccessible."""
    try:
        return mark_status(path.lstat())
    except OSError:
        return None


def mark_files(folder: Path) -> Mapping[str, FileMark]:
    """Return the marks of all files in a folder and below it, by their path relative to it.

    A symbolic link has a mark of its own and is not followed. What cannot be read is left out.
    """
    prefix = len(os.path.join(folder, ""))  # noqa: PTH118 - with the separator at the end
    found = {}
    for entry in iter_entries(folder):
        if not entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(FileNotFoundError):  # another process has removed it
                found[entry.path[prefix:]] = mark_status(entry.stat(follow_symlinks=False))
    return found


def iter_entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Yield every entry of a folder and of the folders below it; links are not followed."""
    pending = [os.fspath(folder)]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
