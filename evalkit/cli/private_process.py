"""Keep the environment of this process to itself: no other process of the user can read it afterwards.

A child could read `/proc/PID/environ` and the memory of its parent. Linux refuses both while the parent is
not dumpable, unless the reader has the capability `CAP_SYS_PTRACE`, as root usually has. The strings that
`/proc/PID/environ` shows are overwritten, too. On other systems, none of this is done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

PR_SET_DUMPABLE = 4
"""Source: prctl(2). A child is dumpable again after it executes a program."""


class PrivateEnvironment:
    """The environment of a process that only runs evalkit.

    Until `own` is called, the process is somebody else's, such as a test, and is left as it is.
    """

    def __init__(self) -> None:
        self._is_owned = False
        self._taken: dict[str, str] | None = None

    def own(self) -> None:
        """Declare that this process runs nothing but evalkit."""
        self._is_owned = sys.platform == "linux"

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables that the process was started with."""
        return os.environ if self._taken is None else self._taken

    def take(self) -> dict[str, str]:
        """Return the variables; the first time, remove the secrets from where others can read them."""
        if self._taken is not None:
            return dict(self._taken)
        variables = dict(os.environ)
        if self._is_owned:
            self._taken = variables
            _hide(variables)
        return dict(variables)

    def give_back(self) -> None:
        """Set the variables again, for code of the user that runs in this process."""
        os.environ.update(self.variables)


def _hide(variables: Mapping[str, str]) -> None:
    from evalkit.core.secret_values import find_secrets, is_secret_name
    from evalkit.worker.environment import ALLOWED_NAMES, ALLOWED_PREFIX, MARK_VARIABLE

    public = {*ALLOWED_NAMES, MARK_VARIABLE}
    hidden = {name for name in variables if not (name in public or name.startswith(ALLOWED_PREFIX))}
    overwritten = _overwrite(hidden)
    secret = {name for name in hidden if is_secret_name(name)} | set(
        find_secrets(variables).values()
    )
    for name in hidden:
        # Clients of models read proxies from the environment, whose URLs may have a password.
        if name in secret and not name.lower().endswith("_proxy"):
            del os.environ[name]
        elif overwritten:
            os.environ[name] = variables[name]  # in memory that /proc does not show


def _overwrite(names: set[str]) -> bool:
    """Make the process not dumpable, and overwrite the values of variables as it was started with.

    Return False if the C library of this system does not allow it.
    """
    import ctypes

    try:
        library = ctypes.CDLL(None, use_errno=True)
        library.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        block = ctypes.POINTER(ctypes.c_void_p).in_dll(library, "environ")
    except (OSError, AttributeError, ValueError):
        return False
    index = 0
    while address := block[index]:
        index += 1
        name, equals, value = ctypes.string_at(address).partition(b"=")
        if equals and os.fsdecode(name) in names:
            ctypes.memset(address + len(name) + 1, 0, len(value))
    return True


PROCESS = PrivateEnvironment()
"""The environment of this process."""
