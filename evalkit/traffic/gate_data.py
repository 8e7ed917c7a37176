"""Read what a gate on traffic needs from a store: the selected requests, and each measure by user and day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.core.errors import NothingSelected
from evalkit.core.literals import Json
from evalkit.traffic.compared import UserDays
from evalkit.traffic.gate_records import DayCoverage, Side
from evalkit.traffic.import_log import ImportedFile, read_imports
from evalkit.traffic.measures import Measure
from evalkit.traffic.periods import BINS, Period, TrafficFilter
from evalkit.traffic.request_facts import create_facts
from evalkit.traffic.table import open_traffic, quote_text, traffic_folder

if TYPE_CHECKING:
    import duckdb

UNVERSIONED = "unversioned"
"""The version of the requests without one."""

_UNMIXED = "not is_mixed"
_MAX_LISTED = 10
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Traffic:
    """The open store of one side: its table `chosen` has the requests that count.

    Their users are the clusters: without a known user, the session counts as one, else the request.
    """

    connection: duckdb.DuckDBPyConnection
    period: Period
    measures: tuple[Measure, ...]
    days: str = "true"
    """SQL over the columns of `chosen`: which days count."""
    has_mixed: bool = False
    """Whether the requests of sessions with several versions or variants count."""

    @property
    def condition(self) -> str:
        """SQL over the columns of `chosen`: which of its requests count."""
        return self.days if self.has_mixed else f"{self.days} and {_UNMIXED}"

    def include_mixed(self) -> Traffic:
        """Return the traffic with the requests of sessions with several versions or variants."""
        return replace(self, has_mixed=True)

    def keep_days(self, days: Sequence[date]) -> Traffic:
        """Return the traffic without the requests of other days."""
        listed = ", ".join(f"date '{day}'" for day in days) or "null"
        kept = replace(self, days=f"day in ({listed})")
        found = _measure_period(self.connection, self.period, kept.condition)
        return replace(kept, period=replace(found, left_out=self.period.requests - found.requests))

    def read_identities(self) -> tuple[Any, Any]:
        """Return hashes of the ids of the requests, and of their users and times, both of shape (requests,)."""
        found = self._fetch(f"select request, moment from chosen where {self.condition}")  # noqa: S608
        return found["request"], found["moment"]

    def read_side(self, measure: Measure, *, by_request: bool) -> Side:
        """Return a measure by user and day, or by request for a quantile."""
        number = self.measures.index(measure)
        value, size = f"n{number}", f"d{number}"
        columns = f"sum({value} * weight) as value, sum({size} * weight) as size"
        # A ratio has values outside of its denominator, such as the cost of a failure.
        grouped = f"({value} <> 0 or {size} > 0) group by cluster, day"
        if by_request:
            columns, grouped = f"{value} as value, {size} * weight as size", f"{size} > 0"
        found = self._fetch(
            f"select cluster, date_diff('day', date '1970-01-01', day) as day, {columns} "  # noqa: S608
            f"from chosen where {self.condition} and {grouped}"
        )
        by_day = self.connection.execute(
            f"select day, sum(weight), sum(weight * k{number}::integer) from chosen "  # noqa: S608
            f"where {self.condition} group by day order by day"
        ).fetchall()
        data = UserDays(
            users=np.asarray(found["cluster"], dtype=np.uint64),
            days=np.asarray(found["day"], dtype=np.int64) + _EPOCH.toordinal(),
            values=np.asarray(found["value"], dtype=np.float64),
            sizes=np.asarray(found["size"], dtype=np.float64),
        )
        return Side(
            label=self.period.label,
            data=data,
            requests=float(sum(requests for _, requests, _ in by_day)),
            known=float(sum(known for _, _, known in by_day)),
            users=int(np.unique(data.users).size),
            by_day=tuple(DayCoverage(*row) for row in by_day),
        )

    def _fetch(self, query: str) -> dict[str, Any]:
        found: dict[str, Any] = self.connection.execute(query).fetchnumpy()
        return found


@contextmanager
def open_period(
    root: Path, name: str, chosen: TrafficFilter, measures: Sequence[Measure], maturity_h: float
) -> Iterator[Traffic]:
    """Open a store, and select the requests of one side.

    Raises:
        InvalidInput: there is no such store.
        NothingSelected: no request matches. The message names what there is.
    """
    folder = traffic_folder(root, name)
    with open_traffic(folder) as connection:
        imports = read_imports(folder)
        if not connection.execute("select 1 from requests limit 1").fetchone():
            raise NothingSelected(
                f"the traffic {name!r} has no requests. Import some: evalkit traffic import FILE --as {name}"
            )
        retried = create_facts(
            connection,
            redacted=[
                each.import_id for each in imports if not _redaction_of(each).get("keep_pii")
            ],
            condition=_condition(chosen),
            maturity_h=maturity_h,
        )
        _create_chosen(connection, measures, chosen)
        empty = Period(
            name=name,
            selection=chosen,
            activity={},
            requests=0,
            users=0,
            retried=retried,
            imported=max((each.imported_at for each in imports), default=""),
            keys=frozenset(
                str(key) for each in imports if (key := _redaction_of(each).get("key_id"))
            ),
        )
        period = _measure_period(connection, empty, _UNMIXED)
        if not period.requests:
            raise NothingSelected(_explain_nothing(connection, period))
        period = replace(period, **_read_store_facts(connection))
        yield Traffic(connection=connection, period=period, measures=tuple(measures))


def _redaction_of(imported: ImportedFile) -> Mapping[str, Json]:
    found: Mapping[str, Json] = imported.options.get("redaction") or {}
    return found


def _create_chosen(
    connection: duckdb.DuckDBPyConnection, measures: Sequence[Measure], chosen: TrafficFilter
) -> None:
    columns = "".join(
        f", {each.numerator} as n{number}, {each.denominator} as d{number}, {each.known} as k{number}"
        for number, each in enumerate(measures)
    )
    connection.execute(
        f"""create temp table chosen as
        select hash(request_id) as request, hash(cluster, ts) as moment, incomplete, day, is_unknown, cluster, weight, weight <> 1 as is_sampled,
          {_is_mixed(chosen)} as is_mixed,
          cast(epoch(ts) as bigint) % 86400 // 600 as bin{columns}
        from facts join (select request_id, "user" is null as is_unknown from requests) using (request_id)"""  # noqa: S608
    )


def _condition(chosen: TrafficFilter) -> str:
    parts = ["true"]
    for column, value in (
        ("version", chosen.version),
        ("variant", chosen.variant),
        ("environment", chosen.environment),
    ):
        if column == "version" and value == UNVERSIONED:
            parts.append("version is null")
        elif value is not None:
            parts.append(f"{column} = {quote_text(value)}")
    if chosen.first:
        parts.append(f"day >= date '{chosen.first}'")
    if chosen.last:
        parts.append(f"day <= date '{chosen.last}'")
    return " and ".join(parts)


def _is_mixed(chosen: TrafficFilter) -> str:
    """Return the condition that a session belongs to several versions or variants."""
    conditions = ["mixed"] if chosen.version is not None else []
    if chosen.variant is not None:
        conditions.append(
            "coalesce(session in (select session from requests where session is not null "
            "group by session having count(distinct coalesce(variant, '')) > 1), false)"
        )
    return f"({' or '.join(conditions) or 'false'})"


def _measure_period(
    connection: duckdb.DuckDBPyConnection, period: Period, condition: str
) -> Period:
    chosen = f"(from chosen where {condition})"
    row = connection.execute(
        "select count(*), count(distinct cluster), coalesce(sum(is_unknown::int), 0), "  # noqa: S608
        f"coalesce(sum(is_sampled::int), 0), coalesce(sum(incomplete::int), 0) from {chosen}"
    ).fetchone()
    requests, users, unknown, sampled, incomplete = row or (0, 0, 0, 0, 0)
    top = connection.execute(
        f"select max(size) from (select count(*) as size from {chosen} group by cluster)"  # noqa: S608
    ).fetchone()
    bins = connection.execute(
        f"select day, bin, count(distinct cluster) from {chosen} group by day, bin"  # noqa: S608
    ).fetchall()
    activity: dict[date, Any] = {}
    for day, number, count in bins:
        activity.setdefault(day, np.zeros(BINS))[number] = count
    return replace(
        period,
        activity=activity,
        requests=requests,
        users=users,
        unknown_users=unknown,
        sampled=sampled,
        incomplete=incomplete,
        top_share=top[0] / requests if top and requests else 0.0,
    )


def _read_store_facts(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    days = connection.execute("select distinct day from requests").fetchall()
    mixed = connection.execute("select count(*) from chosen where is_mixed").fetchone()
    return {"store_days": frozenset(day for (day,) in days), "mixed": mixed[0] if mixed else 0}


def _explain_nothing(connection: duckdb.DuckDBPyConnection, period: Period) -> str:
    """Return why no request matches, with the versions, variants, or days that there are."""
    chosen, name = period.selection, period.name
    row = connection.execute("select min(day), max(day) from requests").fetchone()
    first, last = row or (None, None)
    for column in ("version", "variant", "environment"):
        value = getattr(chosen, column)
        if value is None:
            continue
        listed = connection.execute(
            f"select coalesce({column}, '{UNVERSIONED}') as name, count(*) from requests "  # noqa: S608
            f"group by all order by 2 desc, 1 limit {_MAX_LISTED}"
        ).fetchall()
        names = [each for each, _ in listed]
        if value not in names:
            near = get_close_matches(value, names, n=1)
            advice = f"Did you mean {near[0]!r}? " if near else ""
            return (
                f"no request of {name!r} has the {column} {value!r}. {advice}There are: "
                f"{', '.join(f'{each} ({count:,})' for each, count in listed)}."
            )
    if chosen.first or chosen.last:
        return f"no request of {name!r} is in {chosen}. It has {first} to {last}."
    return f"no request of {name!r} is in {chosen}, or all are of sessions with several versions."
