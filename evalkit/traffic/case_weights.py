"""Weigh the cases of a set by the requests of stored traffic that resemble them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import Case, TrafficMix
from evalkit.gate.traffic import MIN_DRAWS, count_matched_draws
from evalkit.traffic.nearest_case import METHOD, MIN_SIMILARITY, build_case_index

if TYPE_CHECKING:
    import duckdb

MAX_REQUESTS = 20_000
"""The most requests to compare with cases, drawn at random. More would move no share by a point."""

RETRY_SECONDS = 10
"""A user's same input within this time is a retry of the client, not another request."""

MAX_EXAMPLES = 5

_SELECT = f"""
with known as (
    select request_id, ts, input, "user", coalesce("user", session, request_id) as draw,
        case when sampling_p > 0 and sampling_p <= 1 then 1 / sampling_p else 1 end as weight
    from requests
    where input is not null and trim(input) <> '' and day > $after and day <= $until
    qualify "user" is null or not coalesce(
        ts - lag(ts) over (partition by "user", input order by ts) <= interval {RETRY_SECONDS} seconds, false)
)
select request_id, input, draw, weight, "user" is not null, ts, count(*) over ()
from known order by md5(request_id) limit {MAX_REQUESTS}
"""  # noqa: S608 - constants only


class WeighedRequest(NamedTuple):
    """A request to weigh cases with: `weight` is how many it represents, `draw` who asked."""

    request_id: str
    input: str
    draw: str
    weight: float
    has_user: bool
    day: str


class Resemblance(NamedTuple):
    """An input, its nearest case, and their similarity; `share` is that of all requests."""

    input: str
    case_id: str
    similarity: float
    share: float


class ClusterShare(NamedTuple):
    """The share of a cluster of cases in the traffic and in the set."""

    case_ids: tuple[str, ...]
    in_traffic: float
    in_set: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Weighing:
    """The weights of a set with what a person needs to check them.

    `clusters` are in order of their share of traffic. `unmatched` are the most frequent inputs that
    resemble no case, and `doubtful` those that do so the least. `found` is the number of requests of the
    period. `top_share` is the share of the user with the most requests.
    """

    mix: TrafficMix
    clusters: tuple[ClusterShare, ...]
    unmatched: tuple[Resemblance, ...]
    doubtful: tuple[Resemblance, ...]
    found: int
    top_share: float
    warnings: tuple[str, ...] = ()


def read_requests(
    connection: duckdb.DuckDBPyConnection, days: int
) -> tuple[list[WeighedRequest], int]:
    """Return requests of the last days of a store, and how many there are; a random part of many.

    Requests without an input, and retries of a client, do not count.
    """
    row = connection.execute("select max(day) from requests").fetchone()
    newest = row[0] if row else None
    if newest is None:
        return [], 0
    period = {"after": newest - timedelta(days=days), "until": newest}
    rows = connection.execute(_SELECT, period).fetchall()
    found = rows[0][6] if rows else 0
    # Of two stores, each counts with all its requests, whatever part of them was drawn.
    requests = [
        WeighedRequest(
            request_id, text, draw, weight * found / len(rows), has_user, ts.date().isoformat()
        )
        for request_id, text, draw, weight, has_user, ts, _ in rows
    ]
    return requests, found


def weigh_cases(
    cases: Sequence[Case], requests: Sequence[WeighedRequest], found: int, traffic: Sequence[str]
) -> Weighing:
    """Return the share of requests that resemble each case.

    A request belongs to the cluster of its nearest case, if it is similar enough. The cases of a cluster
    divide its share evenly.

    Raises:
        InvalidInput: there is no request, or no case.
    """
    if not cases:
        raise InvalidInput.single("the set has no case to compare requests with. Add some.")
    if not requests:
        raise InvalidInput.single(
            f"the traffic of {', '.join(traffic)} has no request with an input. Import traces with messages."
        )
    by_input: dict[str, float] = defaultdict(float)
    by_draw: dict[str, float] = defaultdict(float)
    for request in requests:
        by_input[request.input] += request.weight
        by_draw[request.draw] += request.weight
    total = sum(by_input.values())
    index = build_case_index([find_question(case) for case in cases])
    nearest = [
        Resemblance(text, cases[best.case].id, best.similarity, weight / total)
        for text, weight in by_input.items()
        for best in [index.find_nearest(text)]
    ]
    matched = [each for each in nearest if each.similarity >= MIN_SIMILARITY]
    unmatched = [each for each in nearest if each.similarity < MIN_SIMILARITY]
    clusters = _sum_clusters(cases, matched)
    shares = {
        id_: each.in_traffic / len(each.case_ids) for each in clusters for id_ in each.case_ids
    }
    days = [request.day for request in requests]
    mix = TrafficMix(
        requests=len(requests),
        # Kish (1965): the requests of one user count as one draw, of their weight.
        draws=total**2 / sum(weight**2 for weight in by_draw.values()),
        since=min(days),
        until=max(days),
        method=METHOD,
        at_least=MIN_SIMILARITY,
        unmatched=1 - sum(each.share for each in matched) if unmatched else 0.0,
        shares=shares,
        traffic=tuple(traffic),
    )
    return Weighing(
        mix=mix,
        clusters=tuple(sorted(clusters, key=lambda each: -each.in_traffic)),
        unmatched=tuple(sorted(unmatched, key=lambda each: -each.share)[:MAX_EXAMPLES]),
        doubtful=tuple(sorted(matched, key=lambda each: each.similarity)[:MAX_EXAMPLES]),
        found=found,
        top_share=max(by_draw.values()) / total,
        warnings=tuple(_warn(requests, mix)),
    )


def find_question(case: Case) -> str:
    """Return what the user of a case asks last, as the input of a request is the user's last message."""
    if isinstance(case.input, str):
        return case.input
    asked = [turn.content for turn in case.input if turn.role == "user"]
    return asked[-1] if asked else ""


def _sum_clusters(cases: Sequence[Case], matched: Iterable[Resemblance]) -> list[ClusterShare]:
    names = {
        case.id: ("cluster", case.cluster) if case.cluster else ("case", case.id) for case in cases
    }
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    for case in cases:
        members[names[case.id]].append(case.id)
    shares: Counter[tuple[str, str]] = Counter()
    for each in matched:
        shares[names[each.case_id]] += each.share  # type: ignore[assignment] # shares are floats
    return [
        ClusterShare(tuple(ids), float(shares[name]), len(ids) / len(cases))
        for name, ids in members.items()
    ]


def _warn(requests: Sequence[WeighedRequest], mix: TrafficMix) -> Iterable[str]:
    draws = count_matched_draws(mix)
    if draws < MIN_DRAWS:
        yield (
            f"The requests that resemble a case are worth {draws:.0f} independent ones, and {MIN_DRAWS} are "
            f"needed: thresholds with estimand: traffic stay undecided. Import more traffic."
        )
    unknown = sum(not request.has_user for request in requests)
    if unknown:
        yield (
            f"The user of {unknown:,} of {len(requests):,} requests is unknown. Their sessions, or else the "
            f"requests, count as independent, so the weights seem more certain than they are."
        )
