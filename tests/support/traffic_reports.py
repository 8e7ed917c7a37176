"""Reports of traffic with made-up numbers, for the tests of what is rendered from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from evalkit.traffic.dashboard_records import NotableRequest
from evalkit.traffic.measures import MEASURES
from evalkit.traffic.report_record import (
    ArmComparison,
    ArmDifference,
    Breakdown,
    ChangePoint,
    Group,
    Timeline,
    TrafficEstimate,
    TrafficReport,
    TrafficStep,
)

START = datetime(2026, 11, 16, tzinfo=UTC)
DAYS = 8
CHANGED = 5
"""The day of v2."""
SHOWN = ("success_rate", "error_rate", "escalation_rate", "satisfaction", "latency_s", "cost_usd")


def _estimates(random: Random, requests: int, *, is_v2: bool) -> Iterator[TrafficEstimate]:
    levels = {"success_rate": 0.83 if is_v2 else 0.93, "escalation_rate": 0.2 if is_v2 else 0.07}
    scales = {"s": 2.0, "usd": 0.0015, "tokens": 400.0}
    for measure in filter(lambda each: each.name in SHOWN, MEASURES):
        for stat in measure.stats:
            share = {"p50": 1.0, "p95": 2.6, "p99": 4.0, "mean": 1.2}[stat]
            level = scales[measure.unit] * share if measure.unit else levels.get(measure.name, 0.12)
            value = level * random.uniform(0.95, 1.05)
            known = requests if measure.name != "satisfaction" else requests // 30
            if known:
                yield TrafficEstimate(
                    measure=measure.name,
                    stat=stat,
                    value=value,
                    low=value * 0.94 if stat != "p99" else None,
                    high=min(value * 1.06, 1.0 if not measure.unit else value * 2)
                    if stat != "p99"
                    else None,
                    requests=known,
                    users=max(known // 6, 1),
                )


def _group(
    random: Random, name: str, requests: int, *, is_v2: bool, first: datetime = START
) -> Group:
    return Group(
        name=name,
        requests=requests,
        users=requests // 8,
        first=first.isoformat(),
        last=(START + timedelta(days=DAYS - 1, hours=23)).isoformat(),
        estimates=tuple(_estimates(random, requests, is_v2=is_v2)),
        errors={
            "Timeout": requests // 25,
            "ToolError": requests // (12 if is_v2 else 60),
            "RateLimit": 3,
        },
    )


def _timeline(random: Random, by: str, name: str, shares: Mapping[int, float]) -> Timeline:
    steps = []
    for day in range(DAYS):
        requests = int(shares.get(day, shares.get(-1, 1.0)) * (70 if day % 7 >= 5 else 150))
        known = tuple(_estimates(random, requests, is_v2=day >= CHANGED)) if requests else ()
        steps.append(
            TrafficStep(
                start=(START + timedelta(days=day)).isoformat(),
                requests=requests,
                requests_per_minute=requests / 1440,
                estimates=known,
                errors={"Timeout": requests // 25, "ToolError": requests // 40} if requests else {},
            )
        )
    return Timeline(by=by, name=name, steps=tuple(steps))


def full_report() -> TrafficReport:
    """Return eight days with two versions, the second one worse, and groups of every dimension."""
    random = Random(5)
    after = dict.fromkeys(range(CHANGED), 0.0) | {-1: 1.0}
    before = dict.fromkeys(range(CHANGED), 1.0) | {-1: 0.0}
    second = START + timedelta(days=CHANGED, hours=10)
    versions = (
        _group(random, "v1", 1200, is_v2=False),
        _group(random, "v2", 590, is_v2=True, first=second),
    )
    others = {
        "model": ("claude-haiku-4-5", "gpt-4o-mini"),
        "variant": ("control", "short-prompt"),
        "tool": ("lookup_order", "refund", "handover"),
        "cloud.region": ("eu-west-1", "us-east-1"),
    }
    groups = {
        by: tuple(_group(random, name, 500 - 90 * n, is_v2=False) for n, name in enumerate(names))
        for by, names in others.items()
    }
    differences = tuple(
        ArmDifference(
            measure=old.measure,
            stat=old.stat,
            base=old,
            candidate=new,
            change=-0.1 if old.measure == "success_rate" else 0.02,
            low=-0.13 if old.measure == "success_rate" else -0.01,
            high=-0.07 if old.measure == "success_rate" else 0.05,
            direction="worse" if old.measure == "success_rate" else "no difference shown",
        )
        for old, new in zip(versions[0].estimates, versions[1].estimates, strict=True)
        if old.stat in ("mean", "p95")
    )
    return TrafficReport(
        name="prod-2026w48",
        filters=(),
        start=START.isoformat(),
        end=(START + timedelta(days=DAYS - 1, hours=23)).isoformat(),
        cluster="user",
        step_s=86_400,
        whole=_group(random, "", 1790, is_v2=False),
        breakdowns=(
            Breakdown(by="version", groups=versions),
            *(Breakdown(by=by, groups=found, unlisted=0) for by, found in groups.items()),
        ),
        timelines=(
            _timeline(random, "", "", {}),
            _timeline(random, "version", "v1", before),
            _timeline(random, "version", "v2", after),
            *(
                _timeline(random, by, name, {-1: 0.4})
                for by, names in others.items()
                for name in names
            ),
        ),
        changes=(
            ChangePoint(
                measure="success_rate",
                stat="mean",
                at=(START + timedelta(days=CHANGED)).isoformat(),
                before=0.93,
                after=0.83,
                version="v2",
            ),
        ),
        comparisons=(
            ArmComparison(
                by="version",
                base="v1",
                candidate="v2",
                differences=differences,
                shared_users=80,
                mixed=12,
                is_concurrent=False,
            ),
        ),
        retries=4,
        incomplete=2,
        top_share=0.06,
        warnings=("One user made 6% of the requests.",),
    )


def bare_report() -> TrafficReport:
    """Return one day by hour in which only the number of requests is known."""
    day = datetime(2026, 11, 23, tzinfo=UTC)
    counts = [0] * 8 + [2, 4, 3, 6, 5, 4, 2, 7, 3, 2, 1, 1] + [0] * 4
    whole = Group(
        name="",
        requests=sum(counts),
        users=sum(counts),
        first=(day + timedelta(hours=8)).isoformat(),
        last=(day + timedelta(hours=19)).isoformat(),
    )
    steps = tuple(
        TrafficStep(
            start=(day + timedelta(hours=hour)).isoformat(),
            requests=count,
            requests_per_minute=count / 60,
        )
        for hour, count in enumerate(counts)
    )
    return replace(
        full_report(),
        name="pilot",
        start=whole.first,
        end=whole.last,
        cluster="request",
        step_s=3600,
        whole=whole,
        breakdowns=(Breakdown(by="version", groups=(replace(whole, name="unversioned"),)),),
        timelines=(Timeline(by="", name="", steps=steps),),
        changes=(),
        comparisons=(),
        retries=0,
        incomplete=0,
        warnings=("No request names a user.",),
    )


def listed_requests() -> tuple[NotableRequest, ...]:
    """Return some requests to look at."""
    random = Random(3)
    return tuple(
        NotableRequest(
            request_id=f"otlp:{random.getrandbits(128):032x}",
            time=f"Nov {16 + number // 10} 12:{number:02}:05",
            values={
                "version": (random.choice(["v1", "v2"]),),
                "model": ("gpt-4o-mini",),
                "variant": ("control",),
                "tool": tuple(random.sample(["lookup_order", "refund", "handover"], 2)),
            },
            reasons=("failed",) if number % 3 else ("slow", "rated bad"),
            latency="6.21 s",
            cost="$0.0021",
            error="ToolError" if number % 3 else "",
        )
        for number in range(12)
    )
