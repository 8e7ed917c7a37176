"""Draw a stratified random sample of sessions from stored traffic, with its inclusion probabilities.

Each session, or each request without one, belongs to the first of the wanted reasons that one of its
requests has. Within these strata, sessions are drawn by the hash of their id and a seed: the same command
draws the same sample, and a larger sample contains a smaller one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from evalkit.core.errors import InvalidInput
from evalkit.core.serialization import digest
from evalkit.traffic.columns import Row

if TYPE_CHECKING:
    import duckdb

    from evalkit.traffic.known_cases import KnownCases

RANDOM = "random"
NOVEL = "novel"
REASONS: Mapping[str, str] = {
    "failed": "r.ok is false",
    "slow": "coalesce(r.latency_ms > (select quantile_cont(latency_ms, 0.95) from requests), false)",
    "low-feedback": "coalesce(f.bad, false) or coalesce(s.bad, false)",
    NOVEL: "r.input in (select input from novel_inputs)",
    RANDOM: "true",
}
"""Why a request is sampled, as SQL over requests `r`, its feedback `f`, and that of its session `s`."""

SLOW_PERCENTILE = 95
_MIN_UNITS = 2
_LEFT_OUT = "not drawn"

_FRAME = """
select r.request_id, coalesce(r.session, r.request_id) as unit, {reasons}
from requests r
left join (select request_id, bool_or(not good) as bad from feedback
  where good is not null and source in ('user', 'reviewer') group by request_id) f
  on f.request_id = r.request_id
left join (select session, bool_or(not good) as bad from feedback
  where good is not null and source in ('user', 'reviewer') and request_id is null group by session) s
  on s.session = r.session
where trim(coalesce(r.input, '')) <> '' and not coalesce(r.incomplete, false)
"""
_UNITS = """
create temp table units as
select unit, count(*) as requests, {stratum} as stratum, sha256(? || ':' || unit) as rank
from frame group by unit
"""
_DRAWN = """
select r.*, frame.unit, units.stratum, {flags}
from units join frame using (unit) join requests r using (request_id)
where units.unit in (
  select unit from (
    select unit, stratum, row_number() over (partition by stratum order by rank, unit) as place from units)
  join allotted using (stratum) where place <= drawn)
order by units.rank, units.unit, r.ts, r.request_id
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stratum:
    """A part of the frame: its sessions and requests, and how many sessions were drawn."""

    name: str
    units: int
    requests: int
    drawn: int

    @property
    def chance(self) -> float:
        """The probability that a session of it is drawn."""
        return self.drawn / self.units


class SampledRequest(NamedTuple):
    """A request of a sample: its columns, what was drawn, and each reason that it has."""

    row: Row
    unit: str
    stratum: str
    chance: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A drawn sample. `left_out` are the requests of the frame that have no chance to be drawn."""

    id: str
    seed: int
    frame_query: str
    strata: tuple[Stratum, ...]
    requests: tuple[SampledRequest, ...]
    left_out: int


def read_reasons(text: str) -> tuple[str, ...]:
    """Return the reasons of `--by`.

    Raises:
        InvalidInput: a reason is unknown or named twice.
    """
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in REASONS:
            raise InvalidInput.single(f"--by {name!r} is unknown. Known: {', '.join(REASONS)}.")
        if names.count(name) > 1:
            raise InvalidInput.single(f"--by names {name!r} twice. Keep one.")
    return names


def draw_sample(
    traffic: duckdb.DuckDBPyConnection,
    reasons: Sequence[str],
    size: int,
    seed: int,
    known: KnownCases,
) -> Sample:
    """Draw about `size` requests, the same number for each reason while there are any.

    Sessions are drawn whole, so that the number differs where their lengths differ.

    Raises:
        InvalidInput: there is no request to draw.
    """
    _list_novel_inputs(traffic, known if NOVEL in reasons else None)
    columns = ", ".join(f'({REASONS[name]}) as "{name}"' for name in reasons)
    query = _FRAME.format(reasons=columns).strip()
    traffic.execute(f"create temp table frame as {query}")
    whens = "".join(f""" when bool_or("{name}") then '{name}'""" for name in reasons)
    traffic.execute(_UNITS.format(stratum=f"case{whens} else '{_LEFT_OUT}' end"), [str(seed)])
    counted = {
        str(name): (int(units), int(requests))
        for name, units, requests in traffic.execute(
            "select stratum, count(*), sum(requests) from units group by stratum"
        ).fetchall()
    }
    _, left_out = counted.pop(_LEFT_OUT, (0, 0))
    if not counted:
        raise InvalidInput.single(_explain_nothing(traffic, reasons))
    drawn = allot_units(counted, size)
    strata = tuple(
        Stratum(name=name, units=counted[name][0], requests=counted[name][1], drawn=drawn[name])
        for name in reasons
        if name in counted
    )
    requests = _read_drawn(traffic, strata, reasons)
    chances = [[each.row["request_id"], each.stratum, each.chance] for each in requests]
    return Sample(
        id=digest([seed, query, chances])[:10],
        seed=seed,
        frame_query=query,
        strata=strata,
        requests=requests,
        left_out=left_out,
    )


def allot_units(strata: Mapping[str, tuple[int, int]], size: int) -> dict[str, int]:
    """Return how many sessions to draw of each stratum, for about `size` requests in all.

    `strata` has the numbers of sessions and requests. What a small stratum leaves goes to the others. At
    least two sessions are drawn of a stratum, if it has them: one shows no variance.
    """
    drawn: dict[str, int] = {}
    left = float(size)
    by_size = sorted(strata, key=lambda name: (strata[name][1], name))
    for place, name in enumerate(by_size):
        units, requests = strata[name]
        share = left / (len(by_size) - place)
        # As many sessions as have the share on average; this depends on no draw.
        wanted = ceil(share * units / requests - 0.5)
        drawn[name] = min(max(wanted, _MIN_UNITS), units)
        left = max(left - drawn[name] * requests / units, 0.0)
    return drawn


def _list_novel_inputs(traffic: duckdb.DuckDBPyConnection, known: KnownCases | None) -> None:
    traffic.execute("create temp table novel_inputs (input varchar)")
    if known is None:
        return
    rows = traffic.execute("select distinct input from requests where input is not null").fetchall()
    found = known.find_novel([str(text) for (text,) in rows])
    traffic.execute("insert into novel_inputs select unnest(?::varchar[])", [found])


def _read_drawn(
    traffic: duckdb.DuckDBPyConnection, strata: Sequence[Stratum], reasons: Sequence[str]
) -> tuple[SampledRequest, ...]:
    traffic.execute("create temp table allotted (stratum varchar, drawn integer)")
    traffic.executemany(
        "insert into allotted values (?, ?)", [[each.name, each.drawn] for each in strata]
    )
    chances = {each.name: each.chance for each in strata}
    flags = ", ".join(f'frame."{name}" as "reason {name}"' for name in reasons)
    found = traffic.execute(_DRAWN.format(flags=flags))
    names = [column[0] for column in found.description or ()]
    drawn = []
    for values in found.fetchall():
        row = dict(zip(names, values, strict=True))
        held = tuple(name for name in reasons if row.pop(f"reason {name}") and name != RANDOM)
        unit, stratum = row.pop("unit"), row.pop("stratum")
        drawn.append(SampledRequest(row, unit, stratum, chances[stratum], held))
    return tuple(drawn)


def _explain_nothing(traffic: duckdb.DuckDBPyConnection, reasons: Sequence[str]) -> str:
    [(requests,)] = traffic.execute("select count(*) from frame").fetchall()
    if not requests:
        return "no request can be sampled: none is complete and has an input."
    named = " or ".join(reasons)
    return f"no request of {requests:,} is {named}. Add random to --by to sample from all."
