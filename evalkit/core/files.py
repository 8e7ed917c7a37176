"""Bytes to disk so that a reader finds the old file or the new one, never a mix."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from evalkit.core.errors import StoreError
from evalkit.core.source_files import UnreadableFile, read_file

MAX_STORED_BYTES = 4 << 30
"""A run of a hundred thousand cases with long outputs fits; a device without end does not."""


def write_atomically(path: Path, content: str | bytes, *, time_ns: int | None = None) -> None:
    """Replace a file in one step; the folder is made if it is missing.

    A link is followed; a pipe or a device is written to, not replaced. With `time_ns` the file bears
    that time, from the moment it is there.

    Raises:
        StoreError: the disk is full, the folder read-only, the path a folder... Nothing is changed.
    """
    data = content.encode() if isinstance(content, str) else content
    path = Path(os.path.realpath(path))
    temporary = ""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes the file private; what we write is as readable as any other file here.
        Path(temporary).chmod(0o666 & ~_umask())
        if time_ns is not None:
            os.utime(temporary, ns=(time_ns, time_ns))
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise StoreError(
            f"{path}: could not save: {os_error_reason(error)}. Free space or choose another place."
        ) from error


def open_for_append(path: Path) -> int:
    """A descriptor of a file to which whole lines are added; made if it is missing.

    Raises:
        StoreError: the system refuses.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags, 0o666)
    except OSError as error:
        raise StoreError(f"{path}: could not save: {os_error_reason(error)}.") from error


def append_line(descriptor: int, path: Path, line: bytes) -> None:
    """Add a line to a file that is open for that; when this returns, kill -9 cannot lose it.

    Raises:
        StoreError: the disk is full. Then nothing is added.
    """
    size = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise StoreError(
            f"{path}: could not save: {os_error_reason(error)}. "
            f"What had finished is kept: free space and add --resume."
        ) from error


def truncate_partial_line(descriptor: int, path: Path) -> bytes:
    """Cut off the last line of a file if it has no end; gives what is left.

    Raises:
        StoreError: the file cannot be read or cut.
    """
    content = read_stored_file(path)
    whole = content[: content.rfind(b"\n") + 1]
    try:
        os.ftruncate(descriptor, len(whole))
    except OSError as error:
        raise StoreError(f"{path}: could not be cut: {os_error_reason(error)}.") from error
    return whole


def read_stored_file(path: Path) -> bytes:
    """The content of a file that evalkit has written; of a pipe or a device nothing is read.

    Raises:
        StoreError: it is missing, or no regular file, or the system refuses.
    """
    try:
        return read_file(path, MAX_STORED_BYTES)
    except UnreadableFile as error:
        raise StoreError(f"{path} {error}") from error


def path_exists(path: Path) -> bool:
    """Whether there is something; what cannot be looked at is taken for missing."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises where access is denied


def os_error_reason(error: OSError) -> str:
    """The operating system's words for an error, without the path it repeats."""
    return error.strerror or str(error)


def _umask() -> int:
    # There is no call that reads the umask without setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
