"""Reports of traffic: follow-up signals, what is unknown, weights, changes, and comparisons."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evalkit.core.errors import InvalidInput
from evalkit.traffic.import_log import read_imports
from evalkit.traffic.importer import ImportOptions, import_files
from evalkit.traffic.report import TrafficReportOptions, build_report
from evalkit.traffic.report_record import TrafficReport
from evalkit.traffic.request_facts import create_facts
from evalkit.traffic.table import open_traffic, traffic_folder
from tests.support.traffic_samples import KeptValues, export, span, write_lines

START = datetime(2026, 11, 23, 8, tzinfo=UTC)


def store(root: Path, records: Iterable[Any], *, form: str = "table") -> Path:
    """Store rows of a table, or exports, as the traffic `prod`."""
    folder = traffic_folder(root, "prod")
    root.mkdir(exist_ok=True)
    path = write_lines(root / f"{form}.jsonl", records)
    mapping = {"ts": "ts"} if form == "table" else {}
    options = ImportOptions(format=form, mapping=mapping, redaction={"keep_pii": False})
    import_files([path], folder, options, KeptValues(), lambda: START)
    return folder


def row(number: int, minutes: float, **fields: Any) -> dict[str, Any]:
    """Return a request of a table, which succeeded if nothing else is said."""
    ts = START + timedelta(minutes=minutes)
    return {
        "id": str(number),
        "ts": ts.isoformat(),
        "input": "hello",
        "output": "hi",
        "ok": True,
    } | fields


def report(folder: Path, **options: Any) -> TrafficReport:
    return build_report(folder, TrafficReportOptions(**options))


def values(found: TrafficReport) -> dict[str, tuple[float, int]]:
    """Return the value of each mean, and the number of requests in which it is known."""
    return {
        each.measure: (round(each.value, 6), each.requests)
        for each in found.whole.estimates
        if each.stat == "mean" and each.value is not None
    }


def signals(folder: Path) -> dict[str, tuple[Any, ...]]:
    with open_traffic(folder) as connection:
        create_facts(connection, redacted=[each.import_id for each in read_imports(folder)])
        rows = connection.execute(
            "select split_part(request_id, ':', 2), rephrased, objected, abandoned from facts"
        ).fetchall()
    return {name: tuple(found) for name, *found in rows}


def test_the_next_request_says_what_the_user_thought(tmp_path: Path) -> None:
    asked = "How do I change my password?"
    rows = [
        # Asked again in other words, then content: the conversation ends after an answer.
        row(1, 0, session="a", input=asked),
        row(2, 2, session="a", input="please, how can I change my password"),
        # The same question after an hour, or with another number, is a new one.
        row(3, 0, session="b", input="Where is order 17?"),
        row(4, 1, session="b", input="Where is order 18?"),
        row(5, 61, session="b", input="Where is order 18?"),
        # The last words are an objection, in German.
        row(6, 0, session="c", input="Was kostet der Versand?"),
        row(7, 3, session="c", input="Das stimmt nicht, ich wohne in Wien"),
        # The conversation ends with an error.
        row(8, 0, session="d", ok=False, output=""),
        # Without a session, half an hour separates conversations of a user.
        row(9, 0, user="u", input="open my account"),
        row(10, 29, user="u", input="wrong, my savings account"),
        row(11, 100, user="u", input="wrong again"),
        # Nothing joins these, and the last hour of the data says nothing yet.
        row(12, 0, input=asked),
        row(13, 500, session="e", input=asked),
    ]
    assert signals(store(tmp_path, rows)) == {
        "1": (True, False, None),
        "2": (False, False, True),
        "3": (False, False, None),
        "4": (False, False, None),
        "5": (False, False, False),
        "6": (False, True, None),
        "7": (False, False, True),
        "8": (False, False, True),
        "9": (False, True, None),
        "10": (False, False, True),
        "11": (False, False, False),
        "12": (None, None, None),
        "13": (None, None, None),
    }


def test_unknown_is_not_zero_and_each_measure_has_its_own_requests(tmp_path: Path) -> None:
    rows = [
        row(1, 0, user="a", cost_usd=0.03, latency_s=1, feedback=1, tools=["find"], version="v1"),
        row(
            2, 90, user="a", cost_usd=0.05, ok=False, output="", error_type="Timeout", version="v1"
        ),
        # A failed attempt that the client repeats, and its successful repetition.
        row(3, 180, user="b", ok=False, output="", input="again", session="s", cost_usd=0.5),
        row(4, 180.1, user="b", input="again", session="s", escalated=True, feedback=-1),
        row(5, 300, user="c", ok=None, output=None, escalated=False),
        row(6, 400, user="c", output="mail <email:0123456789ab>", input="who?"),
        row(
            7,
            800,
            user="c",
            output="mail <email:0123456789ab>",
            input="mine is <email:0123456789ab>",
        ),
    ]
    found = report(store(tmp_path, rows))
    measured = values(found)
    assert found.retries == 1
    assert (found.whole.requests, found.whole.users, found.cluster) == (6, 3, "user")
    assert measured["success_rate"] == (0.8, 5)
    assert measured["error_rate"] == (0.2, 5)
    assert measured["escalation_rate"] == (0.5, 2)
    assert measured["satisfaction"] == (0.5, 2)
    assert measured["feedback_rate"] == (round(2 / 6, 6), 6)
    assert measured["cost_usd"] == (0.04, 2)
    # The failed request costs too.
    assert measured["cost_per_success_usd"] == (0.08, 1)
    assert measured["latency_s"] == (1.0, 1)
    assert measured["pii_rate"] == (round(1 / 4, 6), 4)
    assert "resolution_rate" not in measured
    assert found.whole.errors == {"Timeout": 1}
    tool = next(each for each in found.breakdowns if each.by == "tool")
    assert [(each.name, each.requests) for each in tool.groups] == [("find", 1)]
    assert [each.name for each in found.versions] == ["v1", "unversioned"]
    assert any("version of 67% of the requests is unknown" in text for text in found.warnings)


def test_what_failed_attempts_cost_and_led_to_counts_for_the_repeated_request(
    tmp_path: Path,
) -> None:
    same = {"user": "a", "session": "s", "input": "again"}
    failed = {**same, "ok": False, "output": ""}
    rows = [
        row(1, 0, **failed, cost_usd=0.3, input_tokens=30, feedback=-1),
        row(2, 0.1, **failed, cost_usd=0.2, input_tokens=20, escalated=True),
        row(3, 0.2, **same, cost_usd=0.1, input_tokens=10, escalated=False),
        # The cost of an attempt is unknown, so that of the request is too.
        row(4, 90, **failed),
        row(5, 90.1, **same, cost_usd=0.1),
        row(6, 180, user="a", session="s", input="else", cost_usd=0.4),
    ]
    found = report(store(tmp_path, rows))
    measured = values(found)
    assert (found.retries, found.whole.requests) == (3, 3)
    assert measured["success_rate"] == (1.0, 3)
    assert measured["cost_usd"] == (0.5, 2)
    assert measured["cost_per_success_usd"] == (0.5, 2)
    assert measured["input_tokens"] == (60.0, 1)
    assert measured["escalation_rate"] == (1.0, 1)
    assert measured["satisfaction"] == (0.0, 1)


def test_without_users_sessions_are_independent_and_a_warning_says_so(tmp_path: Path) -> None:
    rows = [row(n, n, session=f"s{n // 2}", ok=n % 4 < 2) for n in range(40)]
    found = report(store(tmp_path, rows))
    assert (found.cluster, found.whole.users) == ("session", 20)
    assert found.warnings[0].startswith("The user of 100% of the requests is unknown.")
    both = found.whole.find("success_rate")
    alone = report(store(tmp_path / "alone", [{**each, "session": None} for each in rows]))
    single = alone.whole.find("success_rate")
    assert both
    assert single
    # Both requests of a session have one outcome, so that they count for one.
    assert both.high - both.low > 1.3 * (single.high - single.low)  # type: ignore[operator]


def test_requests_that_were_kept_more_often_count_less(tmp_path: Path) -> None:
    # All errors were kept, and one in ten of the others.
    rows = [row(n, n, user=f"u{n}", ok=False, sampling_p=1.0, output="") for n in range(10)]
    rows += [row(n, n, user=f"u{n}", ok=True, sampling_p=0.1, latency_s=n) for n in range(10, 19)]
    found = report(store(tmp_path, rows))
    assert values(found)["error_rate"] == (0.1, 19)
    steps = found.timelines[0].steps
    assert {each.stat for step in steps for each in step.estimates} == {"mean"}


def simulate(*, shift: float, version: str = "v2", seed: int = 7) -> Iterator[dict[str, Any]]:
    """Yield two weeks of requests; a version that escalates more begins on the eighth day."""
    rng = random.Random(seed)
    for number in range(4000):
        minutes = rng.random() * 14 * 1440
        is_new = minutes > 7 * 1440
        user = rng.randrange(300)
        chance = 0.1 + 0.1 * (user % 3 == 0) + (shift if is_new else 0)
        yield row(
            number, minutes, user=f"u{user}", session=f"s{number}", input=f"question {number}",
            version=version if is_new else "v1", variant=rng.choice("AB"),
            escalated=rng.random() < chance, latency_s=rng.lognormvariate(0, 0.5),
        )  # fmt: skip


def test_a_worse_version_is_found_with_its_time(tmp_path: Path) -> None:
    found = report(store(tmp_path, simulate(shift=0.15)))
    marked = [(each.measure, each.version) for each in found.changes]
    assert marked == [("escalation_rate", "v2")]
    assert found.changes[0].at[:10] in {"2026-11-30", "2026-12-01"}
    versions, arms = found.comparisons
    directions = {
        each.measure: each.direction for each in versions.differences if each.stat == "mean"
    }
    assert [name for name, word in directions.items() if word in {"worse", "better"}] == [
        "escalation_rate"
    ]
    assert not versions.is_concurrent
    assert versions.shared_users > 250
    assert arms.is_concurrent
    assert {each.direction for each in arms.differences} <= {
        "no difference shown",
        "too little data",
    }
    assert "v1 and v2 served at different times" in " ".join(found.warnings)
    # Each step and each group has the same requests as the whole.
    assert sum(step.requests for step in found.timelines[0].steps) == 4000
    days = next(each for each in found.breakdowns if each.by == "day")
    assert sum(group.requests for group in days.groups) == 4000


def test_nothing_is_marked_where_nothing_changed(tmp_path: Path) -> None:
    found = report(store(tmp_path, simulate(shift=0)))
    assert not found.changes
    words = {each.direction for each in found.comparisons[0].differences}
    assert words <= {"no difference shown", "too little data"}


def test_sessions_that_met_both_versions_are_not_compared(tmp_path: Path) -> None:
    rows = [
        row(
            n,
            n,
            user=f"u{n % 40}",
            session="moved" if n in {3, 83} else f"s{n}",
            version=f"v{n // 80}",
        )
        for n in range(160)
    ]
    [versions] = report(store(tmp_path, rows)).comparisons
    assert (versions.base, versions.candidate, versions.mixed) == ("v0", "v1", 2)


def test_groups_by_an_attribute_of_spans_and_only_some_requests(tmp_path: Path) -> None:
    exports = [
        export(
            [
                span(f"{n + 1:032x}", 1, name="invoke_agent", start_ms=n, error="no" if n < 2 else "",
                     gen_ai__operation__name="invoke_agent", output__value="done",
                     cloud__region="eu" if n % 2 else "us"),
            ],
            service__version="v3",
        )
        for n in range(6)
    ]  # fmt: skip
    folder = store(tmp_path, exports, form="otlp")
    found = report(folder, by=("cloud.region",))
    [_, regions] = found.breakdowns
    assert [(each.name, each.requests) for each in regions.groups] == [("eu", 3), ("us", 3)]
    assert report(folder, only=("version=v3", "day=2026-11-01")).whole.requests == 6
    assert report(folder, only=("version!=v1", "tool!=ping")).whole.requests == 6
    for only in ("version!=v3", "version=v9", "day=2026-10-01..2026-10-31"):
        with pytest.raises(InvalidInput, match=f"prod has no request with {only}"):
            report(folder, only=(only,))
    with pytest.raises(InvalidInput, match="no request has this attribute"):
        report(folder, by=("cloud.regoin",))
    with pytest.raises(InvalidInput, match="is no attribute"):
        report(folder, by=('a"b',))
    # A column of the table is no attribute.
    with pytest.raises(InvalidInput, match="no request has this attribute"):
        report(folder, by=("cluster",))
    with pytest.raises(InvalidInput, match="There are versions: v3"):
        report(folder, compare=("v1", "v3"))
