"""Which variables and hosts a change adds to an agent or a judge."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from evalkit.ci.access_changes import find_access_changes, refuse_new_access
from evalkit.core.errors import ApprovalNeeded
from evalkit.core.eval_set import AgentSpec, EvalSet
from evalkit.core.gate_result import GateReview
from evalkit.core.judgement import JudgeSpec

HEADERS = {"Authorization": "Bearer ${AGENT_KEY}"}


def make_set(kind: str, args: Mapping[str, object], *judges: JudgeSpec) -> EvalSet:
    return EvalSet(
        name="s", path="s.yaml", cases=(), agent=AgentSpec(kind=kind, args=args), judges=judges
    )


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ("https://a.example/x", "https://b.example/x", ["agent: calls b.example"]),
        ("https://a.example/x", "https://u:p@A.example/y?z", []),
        ("https://a.example/x", "https://a.example:8443/x", ["agent: calls a.example:8443"]),
        ("https://a.example/x", "http://localhost:8000/x", []),
        ("https://a.example/x", "https://a.example@b.example", ["agent: calls b.example"]),
        ("https://a.example/x", "https://a.example/${NEW}", ["agent: gets the variable NEW"]),
    ],
)
def test_a_host_or_variable_that_is_new_needs_approval(
    before: str, now: str, told: list[str]
) -> None:
    sets = [make_set("http", {"url": url, "headers": HEADERS}) for url in (before, now)]
    found = tuple(find_access_changes(*sets))
    assert [change.sentence.partition(", which")[0] for change in found] == told
    assert all(change.loosened for change in found)
    review = GateReview(base="main", commit="c", changes=found)
    if not told:
        refuse_new_access(review)
        return
    with pytest.raises(ApprovalNeeded, match=told[0]):
        refuse_new_access(review)
    refuse_new_access(GateReview(base="main", commit="c", changes=found, accepted=True))


def test_a_host_that_gets_no_variable_and_a_judge_do_not_stop_the_run() -> None:
    judges = [
        JudgeSpec(kind="openai", args={"model": "m", "base_url": f"https://{host}/v1"})
        for host in ("a.example", "b.example")
    ]
    before, now = (
        make_set("http", {"": url}, judge)
        for url, judge in zip(("https://a.example", "https://b.example"), judges, strict=True)
    )
    found = tuple(find_access_changes(before, now))
    assert [change.sentence.partition(",")[0] for change in found] == [
        "agent: calls b.example",
        "judge: calls b.example",
    ]
    refuse_new_access(GateReview(base="main", commit="c", changes=found))


def test_the_usual_key_of_a_provider_counts_where_none_is_named() -> None:
    before = make_set("python", {"": "./agent.py:answer"})
    now = make_set("openai", {"model": "m", "base_url": "https://b.example/v1"})
    told = [change.sentence for change in find_access_changes(before, now)]
    assert told[0].startswith("agent: gets the variable OPENAI_API_KEY")
    assert told[1].startswith("agent: calls b.example")
