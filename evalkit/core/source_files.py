"""Read files that a user names, and explain why a file cannot be read."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from evalkit.core.location import Location, Problem
from evalkit.core.near_paths import suggest_path

MAX_FILE_BYTES = 64 * 2**20
"""Size of one file. 100,000 cases of 400 bytes take 40 MB; a larger set needs several files."""

_CHUNK_BYTES = 1 << 20
_PATTERN = re.compile(r"[*?\[]")

_KINDS = (
    (stat.S_ISDIR, "is a folder"),
    (stat.S_ISFIFO, "is a named pipe"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)
_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


class UnreadableFile(Exception):
    """The reason why a file is not read; the message can follow the file's name."""


def display_path(path: Path) -> str:
    """Return a path as the user would type it: relative to the current folder if inside it."""
    try:
        # Not resolved, so that a symbolic link keeps the name that the user knows.
        return str(Path(os.path.abspath(path)).relative_to(Path.cwd()))  # noqa: PTH100
    except (OSError, ValueError):
        return str(path)


def names_several(path: Path) -> bool:
    """Return whether a path names a folder, or is a pattern such as `evalsets/*.yaml`."""
    # Unlike pathlib, this takes a name that is too long for one that does not exist.
    return os.path.isdir(path) or (bool(_PATTERN.search(str(path))) and not os.path.lexists(path))  # noqa: PTH112


def may_name_several(path: Path) -> bool:
    """Return whether a path names several files here, or did before a file got the name of the pattern."""
    return os.path.isdir(path) or bool(_PATTERN.search(str(path)))  # noqa: PTH112


def _read_error_reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def resolve_inside(name: str, folder: Path, root: Path) -> Path:
    """Return the path of the file that another file in `folder` names; symbolic links are followed.

    Raises:
        UnreadableFile: The name is absolute, or the file is outside of `root`. Nothing is opened.
    """
    if Path(name).is_absolute():
        raise UnreadableFile("is an absolute path. Write it relative to the file that names it.")
    try:
        path = (folder / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise UnreadableFile(f"is not a path: {_read_error_reason(error)}.") from error
    if not path.is_relative_to(root.resolve()):
        raise UnreadableFile(f"is outside of the project {str(root)!r}. Copy it there.")
    return path


def _refuse_special(mode: int) -> None:
    for is_kind, words in _KINDS:
        if is_kind(mode):
            raise UnreadableFile(f"{words}, not a file.")


def _read_up_to(descriptor: int, size: int, max_bytes: int) -> bytes:
    """Read to the end of a file, or `max_bytes`; reserve memory only for the `size` that it reports."""
    chunks, read = [], 0
    while chunk := os.read(descriptor, min(max(size - read, _CHUNK_BYTES), max_bytes - read)):
        chunks.append(chunk)
        read += len(chunk)
    return b"".join(chunks)


def read_file(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Read a regular file; nothing else is read, and no call blocks.

    Raises:
        UnreadableFile: It is missing, too large, or not a regular file, or the system refuses.
    """
    with open_regular_file(path) as stream:
        descriptor = stream.fileno()
        data = _read_up_to(descriptor, os.fstat(descriptor).st_size, max_bytes + 1)
    # One byte over the limit reveals a larger file, whatever size it reports.
    if len(data) > max_bytes:
        raise UnreadableFile(f"is larger than {max_bytes // 2**20} MiB, the limit for one file.")
    return data


@contextmanager
def open_regular_file(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file to read it piece by piece; nothing else is opened, and no call blocks.

    Raises:
        UnreadableFile: It is missing or not a regular file, or the system refuses, now or later.
    """
    try:
        # An ordinary open would block on a named pipe and take over a terminal.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnreadableFile(f"does not exist{suggest_path(path)}") from None
    except (OSError, ValueError) as error:
        raise UnreadableFile(f"cannot be read: {_read_error_reason(error)}.") from error
    try:
        _refuse_special(os.fstat(descriptor).st_mode)
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            yield stream
    except OSError as error:
        raise UnreadableFile(f"cannot be read: {_read_error_reason(error)}.") from error
    finally:
        os.close(descriptor)


def _guess_other_encoding(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding
    start = data[:4]
    if start.count(0) == 3:
        return "UTF-32"
    # The first two characters of every supported file are ASCII, except in a quoted CSV cell.
    if start.count(0) == 2 and not (any(start[0::2]) and any(start[1::2])):
        return "UTF-16"
    return ""


def decode_utf8(data: bytes, path: str, problems: list[Problem]) -> str | None:
    """Decode UTF-8 with or without a byte order mark; report any other encoding by its name."""
    try:
        # The guess comes first, because UTF-16 without a mark is valid UTF-8 that is half NULs.
        encoding = _guess_other_encoding(data)
        if not encoding:
            return data.removeprefix(b"\xef\xbb\xbf").decode()
        where, found = Location(path=path), f"is {encoding}"
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line_start = before.rfind(b"\n") + 1
        where = Location(
            path=path,
            line=before.count(b"\n") + 1,
            column=len(before[line_start:].decode(errors="replace")) + 1,
        )
        found = (
            f"is not UTF-8: byte 0x{data[error.start]:02x} in column {where.column}; "
            f"perhaps it is Latin-1 or Windows-1252"
        )
    problems.append(Problem(message=f"the file {found}. Save it as UTF-8.", where=where))
    return None
