"""The check of one threshold, together with the notes about it."""

from __future__ import annotations

from typing import NamedTuple

from evalkit.core.gate_result import Check


class CheckWithNotes(NamedTuple):
    """A check and the notes about it.

    `asides` are those of the notes that only add numbers: odds, power, and other samples.
    """

    check: Check
    notes: tuple[str, ...] = ()
    asides: tuple[str, ...] = ()
