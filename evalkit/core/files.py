"""Atomic file writes, appends that a crash cannot lose, and reads of stored files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from evalkit.core.errors import StoreError
from evalkit.core.source_files import UnreadableFile, open_regular_file, read_file

MAX_STORED_BYTES = 4 << 30
"""Size limit of one stored file. A run of 100,000 cases with long outputs fits; an endless device does not."""


def write_atomically(path: Path, content: str | bytes, *, time_ns: int | None = None) -> None:
    """Replace a file in one step, and create its folder if necessary. A reader never sees a mix.

    Symbolic links are followed. A pipe or a device is written to instead of replaced. `time_ns` becomes
    the file's modification time before the file appears.

    Raises:
        StoreError: The system refuses, for example because the disk is full. Nothing is changed.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary: Path | None = None
    try:
        # Before links are followed: /dev/stdout leads to the name of a pipe, which is no path.
        if path.exists() and not (path.is_file() or path.is_dir()):
            path.write_bytes(data)
            return
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = _create_temporary(path)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            # Sync before the rename, so that a crash cannot leave an empty file under this name.
            stream.flush()
            os.fsync(descriptor)
            # A temporary file is private; the result must be as readable as any other new file.
            os.fchmod(descriptor, 0o666 & ~_umask())
            if time_ns is not None:
                os.utime(descriptor, ns=(time_ns, time_ns))
            if temporary is None:
                temporary = _new_name(path)
                _link_unnamed(descriptor, temporary)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise StoreError(
            f"{path}: could not save: {os_error_reason(error)}. Free disk space or choose another path."
        ) from error


def hide_from_git(folder: Path) -> None:
    """Make git ignore all that is in a folder, unless it has rules of its own.

    Raises:
        StoreError: The system refuses.
    """
    ignore = folder / ".gitignore"
    if not path_exists(ignore):
        write_atomically(ignore, "*\n")


def _create_temporary(path: Path) -> tuple[int, Path | None]:
    """Create a file next to `path`, without a name where the system can: kill -9 leaves nothing of it."""
    if hasattr(os, "O_TMPFILE") and path_exists(Path("/proc/self/fd")):
        flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
        # Some file systems, such as NFS, have only files with names.
        with contextlib.suppress(OSError):
            return os.open(path.parent, flags, 0o600), None
    name = _new_name(path)
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), name


def _new_name(path: Path) -> Path:
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}")


def _link_unnamed(descriptor: int, path: Path) -> None:
    """Give a name to an open file that has none."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Python follows the link in /proc only if a folder is given.
        os.link(
            f"/proc/self/fd/{descriptor}",
            path.name,
            src_dir_fd=folder,
            dst_dir_fd=folder,
            follow_symlinks=True,
        )
    finally:
        os.close(folder)


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the exclusive lock of a folder, once other processes have released it; create the folder.

    Raises:
        StoreError: The system refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{folder}: could not be opened: {os_error_reason(error)}.") from error
    try:
        # A network file system may have no locks.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def refuse_unwritable(path: Path) -> None:
    """Find out whether `write_atomically` could replace a file, without changing anything.

    Raises:
        StoreError: it could not.
    """
    target = Path(os.path.realpath(path))
    folder = next(each for each in target.parents if path_exists(each))
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written: {os_error_reason(error)}. Make it writable; nothing was run."
        ) from error


def open_for_append(path: Path) -> int:
    """Open a file for appending whole lines, and create it if necessary; return its descriptor.

    Raises:
        StoreError: The system refuses.
    """
    # O_NONBLOCK, because opening a named pipe would otherwise wait for the other end.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags, 0o666)
    except OSError as error:
        raise StoreError(f"{path}: could not save: {os_error_reason(error)}.") from error


def append_line(descriptor: int, path: Path, line: bytes) -> None:
    """Append a line to an open file; once this returns, kill -9 cannot lose the line.

    Raises:
        StoreError: The disk is full, or the file has been deleted. Nothing is appended.
    """
    status = os.fstat(descriptor)
    if status.st_nlink == 0:
        raise StoreError(
            f"{path}: deleted or replaced by something else while the run was writing it, so nothing "
            f"more can be saved. Keep other programs away from .evalkit and start a new run."
        )
    size = status.st_size
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        with contextlib.suppress(OSError):
            # An incomplete line would corrupt the next one.
            os.ftruncate(descriptor, size)
        raise StoreError(
            f"{path}: could not save: {os_error_reason(error)}. "
            f"Finished trials are kept: free disk space and add --resume."
        ) from error


def truncate_file(descriptor: int, path: Path, size: int) -> None:
    """Cut an open file off after `size` bytes.

    Raises:
        StoreError: The system refuses.
    """
    try:
        os.ftruncate(descriptor, size)
    except OSError as error:
        raise StoreError(f"{path}: could not be truncated: {os_error_reason(error)}.") from error


def read_stored_file(path: Path) -> bytes:
    """Read a file that evalkit has written; nothing is read from a pipe or a device.

    Raises:
        StoreError: The file is missing or not a regular file, or the system refuses.
    """
    try:
        return read_file(path, MAX_STORED_BYTES)
    except UnreadableFile as error:
        raise StoreError(f"{path} {error}") from error


@contextlib.contextmanager
def open_stored_file(path: Path) -> Iterator[BufferedReader]:
    """Open a file that evalkit has written, to read it line by line instead of as a whole.

    Raises:
        StoreError: The file is missing or not a regular file, or the system refuses, now or later.
    """
    try:
        with open_regular_file(path) as stream:
            yield stream
    except UnreadableFile as error:
        raise StoreError(f"{path} {error}") from error


def hash_stored_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex, without holding the file in memory.

    Raises:
        StoreError: as for `open_stored_file`.
    """
    with open_stored_file(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def iter_complete_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a stored file with their numbers from 1, but no incomplete last line.

    A file that does not exist has no lines.

    Raises:
        StoreError: the file cannot be read.
    """
    if path_exists(path):
        with open_stored_file(path) as stream:
            for number, line in enumerate(stream, start=1):
                if line.endswith(b"\n"):
                    yield number, line[:-1]


def path_exists(path: Path) -> bool:
    """Return whether a path exists; an inaccessible one counts as missing."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises where access is denied


def os_error_reason(error: OSError) -> str:
    """Return the operating system's message for an error, without the path in it."""
    return error.strerror or str(error)


def _umask() -> int:
    # There is no call that reads the umask without setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
