"""Group requests by version, model, tool, and so on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from evalkit.core.errors import InvalidInput
from evalkit.traffic.request_facts import name_attribute
from evalkit.traffic.table import quote_name, quote_text

if TYPE_CHECKING:
    import duckdb

    from evalkit.stats.distributions import Bools

UNVERSIONED = "unversioned"
"""The group of the requests without a version."""

DIMENSIONS: Mapping[str, str] = {
    "version": f"coalesce(version, '{UNVERSIONED}')",
    "variant": "variant",
    "model": "model",
    "tool": "tools",
    "environment": "environment",
    "day": "day::varchar",
}
"""SQL over `facts` by dimension. That of `tool` is a list."""

_LISTED = {"day": 31, "version": 12, "tool": 12}
_MOST_GROUPS = 8
_RANGE = re.compile(r"(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundGroup:
    """A group of a dimension with its size, its first and last time, and its errors by type."""

    name: str
    requests: int
    first: datetime
    last: datetime
    errors: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dimension:
    """A dimension with the groups that are listed; `unlisted` are the other ones."""

    by: str
    groups: tuple[FoundGroup, ...]
    unlisted: int

    @property
    def names(self) -> list[str]:
        """The names of the listed groups."""
        return [group.name for group in self.groups]

    def select_code(self) -> str:
        """Return SQL for the place of a request's group, from 1; 0 for none of them."""
        listed = ", ".join(map(quote_text, self.names))
        return f"coalesce(list_position([{listed}]::varchar[], {select_name(self.by)}), 0)"


def select_name(by: str) -> str:
    """Return SQL over `facts` for the name of a request's group; for `tool` a list of them."""
    return DIMENSIONS.get(by) or quote_name(name_attribute(by))


def find_groups(connection: duckdb.DuckDBPyConnection, by: str) -> Dimension:
    """Return the groups of a dimension, the largest first; days in order, the newest ones."""
    name = select_name(by)
    source = f"select {name} as name, ts, failed, error_type from facts"  # noqa: S608
    if by == "tool":
        source = "select unnest(list_distinct(tools)) as name, ts, failed, error_type from facts"
    connection.execute(
        f"create or replace temp view named as select * from ({source}) where name is not null"  # noqa: S608
    )
    order = "name desc" if by == "day" else "requests desc, name"
    rows = connection.execute(
        "select name, count(*) as requests, min(ts), max(ts), count(*) over () from named "  # noqa: S608
        f"group by name order by {order} limit {_LISTED.get(by, _MOST_GROUPS)}"
    ).fetchall()
    errors = find_errors(connection, "named")
    groups = [
        FoundGroup(
            name=name, requests=requests, first=first, last=last, errors=errors.get(name, {})
        )
        for name, requests, first, last, _ in rows
    ]
    if by == "day":
        groups.reverse()
    return Dimension(by=by, groups=tuple(groups), unlisted=rows[0][4] - len(rows) if rows else 0)


def find_errors(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, dict[str, int]]:
    """Return the number of failed requests by group and type, the most frequent type first."""
    rows = connection.execute(
        "select name, coalesce(error_type, 'error'), count(*) as found "  # noqa: S608
        f"from {table} where failed group by 1, 2 order by found desc, 2"
    ).fetchall()
    errors: dict[str, dict[str, int]] = {}
    for name, kind, count in rows:
        errors.setdefault(name, {})[kind] = count
    return errors


def choose_groups(connection: duckdb.DuckDBPyConnection, dimension: Dimension) -> dict[str, Bools]:
    """Return which requests are in each listed group, arrays of shape (requests,)."""
    import numpy as np  # noqa: PLC0415 - only where numbers are needed

    if dimension.by == "tool":
        columns = ", ".join(
            f"coalesce(list_contains(tools, {quote_text(name)}), false) as g{index}"
            for index, name in enumerate(dimension.names)
        )
        found = connection.execute(f"select {columns or 'ts'} from facts").fetchnumpy()  # noqa: S608
        return {
            name: np.asarray(found[f"g{index}"], dtype=bool)
            for index, name in enumerate(dimension.names)
        }
    found = connection.execute(
        f"select {dimension.select_code()}::integer as code from facts"  # noqa: S608
    ).fetchnumpy()
    codes = np.asarray(found["code"])
    return {name: codes == index for index, name in enumerate(dimension.names, 1)}


def read_filters(texts: Sequence[str]) -> str:
    """Return SQL over `facts` for conditions such as `version=v3`, `day=2026-11-23..2026-11-29`, or `tool!=ping`.

    Values of one dimension are alternatives. All else has to be met together.

    Raises:
        InvalidInput: a condition is not valid.
    """
    wanted: dict[str, list[str]] = {}
    unwanted = []
    for text in texts:
        by, equals, value = text.partition("=")
        name = by.removesuffix("!")
        if not (name in DIMENSIONS and equals and value):
            raise InvalidInput.single(
                f"{text!r} is no condition. Write {', '.join(f'{each}=…' for each in DIMENSIONS)}, "
                "or != to leave requests out."
            )
        if by == name:
            wanted.setdefault(by, []).append(_read_condition(by, value))
        else:
            unwanted.append(f"({_read_condition(name, value)}) is not true")
    chosen = [f"({' or '.join(each)})" for each in wanted.values()]
    return " and ".join([*chosen, *unwanted]) or "true"


def _read_condition(by: str, value: str) -> str:
    if by == "tool":
        return f"list_contains(tools, {quote_text(value)})"
    if by != "day":
        return f"{DIMENSIONS[by]} = {quote_text(value)}"
    first, last = read_days(value)
    return f"day between date '{first}' and date '{last}'"


def read_days(text: str) -> tuple[date, date]:
    """Return the first and the last day of `2026-11-23` or `2026-11-23..2026-11-29`.

    Raises:
        InvalidInput: it is neither, or the first is after the last.
    """
    match = _RANGE.fullmatch(text)
    try:
        days = [date.fromisoformat(part) for part in match.groups() if part] if match else []
    except ValueError:
        days = []
    if not days or days[0] > days[-1]:
        raise InvalidInput.single(
            f"{text!r} is no day. Write it as 2026-11-23, or days as 2026-11-23..2026-11-29."
        )
    return days[0], days[-1]
