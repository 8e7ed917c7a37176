"""Define where the gate of a run came from, and who accepted its result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class DefinitionSource:
    """Where the definition of a gate came from, if that is not another commit: one sentence, with its label.

    `warning` is set if a change could have edited the definition unseen.
    """

    sentence: str
    warning: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Acceptance:
    """Who accepted the result of a change as intended, and for which commit, as a whole id."""

    who: str
    commit: str
