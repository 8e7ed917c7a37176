"""Count the good and bad outcomes of the requests of each version, by user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.core.errors import InvalidInput
from evalkit.core.format import format_count
from evalkit.traffic.measures import MEASURES, Measure, find_measure

if TYPE_CHECKING:
    import duckdb

    from evalkit.stats.distributions import Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Outcomes:
    """Requests with and without the good outcome, arrays of shape (users, versions)."""

    versions: tuple[str, ...]
    good: Floats
    bad: Floats


def find_outcome(name: str) -> Measure:
    """Return the measure of an outcome.

    Raises:
        InvalidInput: there is none, or it is no rate with a good direction.
    """
    found = find_measure(name)
    if found.kind != "rate" or not found.better:
        able = [each.name for each in MEASURES if each.kind == "rate" and each.better]
        raise InvalidInput.single(
            f"{name!r} is no outcome that is good or bad for a request. There are: {', '.join(able)}."
        )
    return found


def read_outcomes(
    connection: duckdb.DuckDBPyConnection, measure: Measure
) -> list[tuple[int, str, float, float]]:
    """Return the user, the version, and the requests with and without the good outcome, from `facts`.

    Requests without a version, and conversations that several versions answered, belong to none.
    """
    numerator, size = (
        f"sum(weight * ({measure.numerator}))",
        f"sum(weight * ({measure.denominator}))",
    )
    hits = connection.execute(
        f"select cluster, version, {numerator}, {size} from facts "  # noqa: S608 - SQL of a measure
        "where version is not null and not mixed group by 1, 2 having sum("
        + measure.denominator
        + ") > 0"
    ).fetchall()
    if measure.better == "higher":
        return [(user, version, count, total - count) for user, version, count, total in hits]
    return [(user, version, total - count, count) for user, version, count, total in hits]


def count_left_out(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Return how many requests of `facts` have no version, and how many were mixed with another one."""
    row = connection.execute(
        "select count(*) filter (version is null), count(*) filter (version is not null and mixed) from facts"
    ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def describe_left_out(unversioned: int, mixed: int) -> Iterator[str]:
    """Yield a note on the requests that belong to no version, if there are any."""
    if unversioned:
        yield f"{format_count(unversioned, 'request')} without a version left out."
    if mixed:
        yield (
            f"{format_count(mixed, 'request')} left out, of conversations that several versions answered."
        )


def sum_outcomes(rows: Iterable[tuple[int, str, float, float]]) -> Outcomes:
    """Return the outcomes of all stores together; a user is the same in all of them."""
    import numpy as np  # noqa: PLC0415 - it takes long to load

    found = list(rows)
    users = {user: code for code, user in enumerate(sorted({row[0] for row in found}))}
    versions = sorted({row[1] for row in found})
    codes = {version: code for code, version in enumerate(versions)}
    good, bad = np.zeros((2, len(users), len(versions)))
    for user, version, with_it, without in found:
        good[users[user], codes[version]] += with_it
        bad[users[user], codes[version]] += without
    return Outcomes(versions=tuple(versions), good=good, bad=bad)
