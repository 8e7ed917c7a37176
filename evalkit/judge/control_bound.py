"""How often a judge is asked controls and anchors in a run."""

from __future__ import annotations

from typing import NamedTuple


class ControlBound(NamedTuple):
    """How often a judge is asked controls and anchors: `expected` of one without an error, and `at_most`."""

    expected: int
    at_most: int
