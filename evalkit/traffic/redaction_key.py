"""The key of the tokens that replace personal data, kept outside of the store and of the project."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.files import os_error_reason
from evalkit.core.location import Location

KEY_VARIABLE = "EVALKIT_REDACTION_KEY"
"""The environment variable with the key. CI sets it from a secret, so that all jobs have the same."""

MIN_KEY_CHARS = 16
_KEY_BYTES = 32


def load_redaction_key(environ: Mapping[str, str]) -> tuple[bytes, str]:
    """Return the key and where it is from: the variable, or a file in the user's configuration folder.

    The first call without the variable creates the file, which only the user can read. A person with the
    key can check whether a token is a certain address or user; without it, a token says nothing.

    Raises:
        InvalidInput: the key is too short, or others can read its file.
        StoreError: the file could not be created.
    """
    if given := environ.get(KEY_VARIABLE, "").strip():
        if len(given) < MIN_KEY_CHARS:
            raise InvalidInput.single(
                f"{KEY_VARIABLE}: the key has {len(given)} characters; at least {MIN_KEY_CHARS} are needed. "
                "Create one with `openssl rand -hex 32`."
            )
        return given.encode("utf-8", "surrogateescape"), KEY_VARIABLE
    path = _find_key_path(environ)
    try:
        with contextlib.suppress(FileExistsError):
            _create_key(path)
        return _read_key(path), str(path)
    except OSError as error:
        raise StoreError(
            f"{path}: no redaction key: {os_error_reason(error)}. Set {KEY_VARIABLE} to a key of your own."
        ) from error


def _find_key_path(environ: Mapping[str, str]) -> Path:
    given = environ.get("XDG_CONFIG_HOME", "")
    home = environ.get("HOME", "")
    if not (given or home):
        raise InvalidInput.single(
            f"no folder for the redaction key: neither HOME nor XDG_CONFIG_HOME is set. Set {KEY_VARIABLE}."
        )
    folder = Path(given) if given and Path(given).is_absolute() else Path(home) / ".config"
    return folder / "evalkit" / "redaction.key"


def _create_key(path: Path) -> None:
    """Create the file in one step, so that two imports at once use the same key.

    Raises:
        FileExistsError: there is one.
    """
    if path.exists():
        raise FileExistsError
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".redaction.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_hex(_KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(descriptor)
        path.hardlink_to(temporary)
    finally:
        temporary.unlink()


def _read_key(path: Path) -> bytes:
    mode = path.stat().st_mode
    where = Location(path=str(path))
    if stat.S_IMODE(mode) & 0o077:
        raise InvalidInput.single(
            f"others can read the redaction key. Run `chmod 600 {path}`.", where
        )
    key = path.read_bytes().strip()
    if len(key) < MIN_KEY_CHARS:
        raise InvalidInput.single(
            f"the redaction key has {len(key)} bytes; at least {MIN_KEY_CHARS} are needed. "
            "Restore the file; with a new key, new imports do not join with earlier ones.",
            where,
        )
    return key
