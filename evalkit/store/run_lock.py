"""Lock a run's folder, so that one process at a time writes to it."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Self

from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.files import os_error_reason


class RunLock:
    """The exclusive lock of a run's folder, held until `release` or the end of the process.

    The folder itself is locked, so that files in it can be replaced and no lock file stays.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock without waiting.

        Raises:
            InvalidInput: another process holds it.
            StoreError: the folder cannot be opened.
        """
        self.folder = folder
        try:
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"{folder}: could not be opened: {os_error_reason(error)}.") from error
        try:
            _lock(self._descriptor)
        except BlockingIOError:
            self.release()
            raise InvalidInput.single(
                f"run {folder.name!r} is being written by another process. Wait for it to end."
            ) from None
        except OSError:
            # A network file system may have no locks. Ids are unique, so only two --resume collide.
            pass

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


_TRIES = 3
_PAUSE_S = 0.02


def _lock(descriptor: int) -> None:
    """Take the exclusive lock. A reader in `is_locked` has it for a moment, so try more than once."""
    for attempt in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if attempt == _TRIES - 1:
                raise
            time.sleep(_PAUSE_S)


def is_locked(folder: Path) -> bool:
    """Return whether a process writes a run now; False if that cannot be found out."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # a network file system may have no locks
    finally:
        os.close(descriptor)
    return False
