"""TrafficEstimate the measures of groups of requests, with intervals by user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from evalkit.traffic.measures import MEASURES, QUANTILES, Measure, Stat
from evalkit.traffic.report_record import TrafficEstimate

if TYPE_CHECKING:
    import duckdb

    from evalkit.stats.clustered import ClusteredEstimate
    from evalkit.stats.distributions import Bools, Floats, Ints

ALPHA = 0.05
"""Each bound of an interval is wrong at most this often."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Facts:
    """The table `facts` as arrays of shape (requests,).

    `users` are codes from 0 to `user_count` - 1. `values` and `sizes` are the weighted numerators and
    denominators by measure; `ranks` are the requests of a value in its order. `is_weighted` says that they
    were kept with different probabilities.
    """

    users: Ints
    user_count: int
    weights: Floats
    values: Mapping[str, Floats]
    sizes: Mapping[str, Floats]
    ranks: Mapping[str, Ints]
    is_weighted: bool

    @property
    def measures(self) -> list[Measure]:
        """The measures that are known in any request."""
        return [each for each in MEASURES if each.name in self.values]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part:
    """Some of the requests: which, shape (requests,), and their places; a slice if these are all.

    `codes`, shape (users,), are the codes that their users have among themselves, arbitrary for other users;
    None if users keep their codes. `user_count` is the number of codes.
    """

    chosen: Bools
    index: Ints | slice
    codes: Ints | None
    user_count: int

    def find_users(self, facts: Facts, index: Ints | slice) -> Ints:
        """Return the codes of the users of some of the requests, given their places."""
        users = facts.users[index]
        return users if self.codes is None else self.codes[users]

    def rank(self, facts: Facts, measure: Measure) -> Ints:
        """Return the places of the requests in which a value is known, in the order of the value."""
        order = facts.ranks[measure.name]
        return order if isinstance(self.index, slice) else order[self.chosen[order]]


def load_facts(connection: duckdb.DuckDBPyConnection) -> Facts:
    """Load the table `facts`, with the measures that are known in any request."""
    import numpy as np  # noqa: PLC0415 - only where numbers are needed

    flags = ", ".join(f"bool_or(({each.denominator}) > 0)" for each in MEASURES)
    known = connection.execute(f"select {flags} from facts").fetchone()  # noqa: S608
    measures = [each for each, is_known in zip(MEASURES, known or (), strict=False) if is_known]
    columns = ", ".join(
        f"({each.numerator})::double as y{index}, ({each.denominator})::double as n{index}"
        for index, each in enumerate(measures)
    )
    found = connection.execute(
        f"select cluster, weight::double as weight{columns and ', ' + columns} from facts"  # noqa: S608
    ).fetchnumpy()
    users, codes = np.unique(found["cluster"], return_inverse=True)
    weights = np.asarray(found["weight"])
    values, sizes, ranks = {}, {}, {}
    for index, measure in enumerate(measures):
        value, size = np.asarray(found[f"y{index}"]), np.asarray(found[f"n{index}"])
        if measure.kind == "value":
            order = np.argsort(value, kind="stable")
            ranks[measure.name] = order[size[order] > 0]
        values[measure.name] = value * weights
        sizes[measure.name] = size * weights
    return Facts(
        users=codes.astype(np.int64),
        user_count=users.size,
        weights=weights,
        values=values,
        sizes=sizes,
        ranks=ranks,
        is_weighted=bool(np.any(weights != 1.0)),
    )


def choose_part(facts: Facts, chosen: Bools) -> Part:
    """Return the requests for which `chosen`, shape (requests,), is true."""
    import numpy as np  # noqa: PLC0415

    index = np.flatnonzero(chosen)
    present = np.zeros(facts.user_count, dtype=np.int64)
    present[facts.users[index]] = 1
    return Part(
        chosen=chosen, index=index, codes=np.cumsum(present) - 1, user_count=int(present.sum())
    )


def choose_all(facts: Facts) -> Part:
    """Return all requests."""
    import numpy as np  # noqa: PLC0415

    chosen = np.ones(facts.users.size, dtype=bool)
    return Part(chosen=chosen, index=slice(None), codes=None, user_count=facts.user_count)


def estimate_cluster(
    facts: Facts, part: Part, measure: Measure, stat: Stat = "mean", ranks: Ints | None = None
) -> ClusteredEstimate | None:
    """Return a statistic of a part with the influence of its users; None if it is unknown.

    `ranks` is the result of `Part.rank`, if that is known already.
    """
    import numpy as np  # noqa: PLC0415

    from evalkit.stats.clustered import Records, estimate_quantile, estimate_ratio  # noqa: PLC0415

    index: Ints | slice = part.index
    if stat != "mean":
        index = part.rank(facts, measure) if ranks is None else ranks
    values, sizes = facts.values[measure.name][index], facts.sizes[measure.name][index]
    if stat != "mean" and facts.is_weighted:
        # The weights belong to the sizes only.
        values = values / sizes
    records = Records(
        users=part.find_users(facts, index),
        strata=np.zeros(0, dtype=np.int64),
        values=values,
        sizes=sizes,
        user_count=part.user_count,
    )
    if stat == "mean":
        return estimate_ratio(records, is_share=measure.kind == "rate")
    return estimate_quantile(records, QUANTILES[stat])


def estimate_part(
    facts: Facts, part: Part, *, stats: Sequence[Stat] = ("mean", "p50", "p95", "p99")
) -> Iterator[TrafficEstimate]:
    """Yield the statistics of every measure of a part."""
    import numpy as np  # noqa: PLC0415

    for measure in facts.measures:
        requests = int(np.count_nonzero(facts.sizes[measure.name][part.index]))
        has_ranks = len(measure.reported_stats) > 1 and len(stats) > 1
        ranks = part.rank(facts, measure) if has_ranks else None
        for stat in measure.reported_stats:
            if stat in stats:
                found = estimate_cluster(facts, part, measure, stat, ranks) if requests else None
                yield to_estimate(measure, stat, found, requests)


def to_estimate(
    measure: Measure, stat: Stat, found: ClusteredEstimate | None, requests: int
) -> TrafficEstimate:
    """Return the record of an estimate with its interval."""
    if found is None:
        return TrafficEstimate(measure=measure.name, stat=stat)
    low, high = found.bounds(ALPHA)
    return TrafficEstimate(
        measure=measure.name,
        stat=stat,
        value=found.value,
        low=max(low, 0.0) if isfinite(low) and found.users > 1 else None,
        high=high if isfinite(high) and found.users > 1 else None,
        requests=requests,
        users=found.users,
    )
