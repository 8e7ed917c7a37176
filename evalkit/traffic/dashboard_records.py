"""The records of the dashboard: values over time for all traffic and for parts of it, tables, and requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from evalkit.core.literals import Outcome


class PanelValue(NamedTuple):
    """A value with its interval, and the number of requests in which it is known."""

    value: float
    low: float | None
    high: float | None
    requests: int


class PanelChange(NamedTuple):
    """The step at which the level of a panel changed, with the means before and after it."""

    step: int
    before: float
    after: float
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PanelLine:
    """One line of a panel: its value in the whole time, and in each step; None where it is not known."""

    name: str
    total: PanelValue | None
    steps: tuple[PanelValue | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DashboardPanel:
    """A measure over time. `unit` is empty for a share.

    The lines of a stack, such as types of errors, add up to `whole`, which is None for lines.
    """

    name: str
    title: str
    unit: str
    lines: tuple[PanelLine, ...]
    whole: PanelLine | None = None
    changes: tuple[PanelChange, ...] = ()
    about: str = ""

    @property
    def shown(self) -> tuple[PanelLine, ...]:
        """The lines whose values are shown as text."""
        return (self.whole,) if self.whole else self.lines


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficSlice:
    """The panels of all traffic, or of the part with these values of dimensions, such as a version."""

    chosen: tuple[tuple[str, str], ...]
    requests: int
    panels: tuple[DashboardPanel, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PanelAxis:
    """The steps from left to right: `names` say exactly when one starts, `labels` are those of the axis.

    `midnights` between steps that are shorter than a day and `starts`, the first requests of versions, are
    shares of the width. `weekend` marks the steps on Saturdays and Sundays.
    """

    step: str
    names: tuple[str, ...]
    labels: tuple[str, ...]
    midnights: tuple[float, ...]
    weekend: tuple[bool, ...]
    starts: tuple[tuple[float, str], ...]


class DashboardCell(NamedTuple):
    """A cell of a table: its text, a note below it, and an outcome that gives it a mark."""

    text: str
    note: str = ""
    outcome: Outcome | None = None


TableRow: TypeAlias = tuple[str, tuple[DashboardCell, ...]]
"""The heading of a row, and its cells."""


class DashboardTable(NamedTuple):
    """A table with a heading in each row; `folded` has further rows that matter less."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    about: str = ""
    folded: tuple[TableRow, ...] = ()
    folded_title: str = ""


class NotableRequest(NamedTuple):
    """A request to look at. `reasons` say why: failed, slow, and so on. It has no text of the user."""

    request_id: str
    time: str
    values: Mapping[str, tuple[str, ...]]
    reasons: tuple[str, ...]
    latency: str
    cost: str
    error: str


class DashboardHeadline(NamedTuple):
    """What the page says first: a word with its outcome, what was found, and what limits it."""

    word: str
    outcome: Outcome | None
    lead: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Dashboard:
    """Everything that the page shows. `slices` starts with all traffic.

    `dimensions` has the values of each one that can be chosen. `compared` has
    the values of two versions for panels, by name. `unknown` has the measures without data, `never`
    what happened in no request.
    """

    name: str
    crumb: str
    headline: DashboardHeadline
    axis: PanelAxis
    dimensions: Mapping[str, tuple[str, ...]]
    slices: tuple[TrafficSlice, ...]
    compared: Mapping[str, DashboardCell]
    unknown: tuple[str, ...]
    never: tuple[str, ...]
    tables: tuple[DashboardTable, ...]
    requests: tuple[NotableRequest, ...]
    requests_about: str
    meanings: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
