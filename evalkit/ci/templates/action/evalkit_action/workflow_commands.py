"""What GitHub reads of a step: lines of the log, annotations in them, and outputs for later steps."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path


def print_line(text: str) -> None:
    """Print a line, in the order of what evalkit prints."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def escape(text: str, more: str = "") -> str:
    """Return a text as the message of a workflow command, or with `more` as a property of one."""
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def write_outputs(path: Path, outputs: Mapping[str, str]) -> None:
    """Write outputs for later steps; each value ends at a random delimiter that it cannot contain."""
    with path.open("a", encoding="utf-8") as stream:
        for name, value in outputs.items():
            end = f"end-{secrets.token_hex(16)}"
            stream.write(f"{name}<<{end}\n{value}\n{end}\n")
