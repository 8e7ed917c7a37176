"""The shipped order desk: its labels follow from the shop's rules, its agent works as it claims."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from evalkit.agents.reply import to_output
from evalkit.core.eval_set import Case, EvalSet
from evalkit.core.literals import Json
from evalkit.core.trial import Output, Score
from evalkit.evalset.loader import load_evalset
from evalkit.metrics.outcomes import TaskCompletion
from evalkit.metrics.tool_calls import ToolCalls, ToolsNotCalled
from tests.acceptance.test_shipped_sets import shipped
from tests.conftest import Project
from tests.support.paths import ROOT

__all__ = ["shipped"]

Answer: TypeAlias = Callable[[Any, Mapping[str, Any]], dict[str, Any]]

FOLDER = ROOT / "evalsets" / "workflow"
DOING = ("cancel_order", "refund_order", "change_address")


@pytest.fixture(scope="module")
def example() -> Iterator[SimpleNamespace]:
    modules = ("agent", "agent_v2", "desk", "reading")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        agent, second, desk, reading = map(importlib.import_module, modules)
        yield SimpleNamespace(
            first=agent.answer, second=second.answer, desk=desk, reading=reading, agent=agent
        )
        for name in modules:
            del sys.modules[name]


@pytest.fixture(scope="module")
def workflow() -> EvalSet:
    evalset, problems = load_evalset(ROOT / "evalsets" / "workflow.yaml", root=ROOT)
    assert problems == []
    return evalset


def output_of(answer: Answer, case: Case, seed: int | None) -> Output:
    """What the agent gives at the last turn; those before it are scripted in full in this set."""
    asked: Any = case.input
    if not isinstance(asked, str):
        asked = [{"role": turn.role, "content": turn.content} for turn in asked]
    return to_output(answer(asked, {"seed": seed}), latency_s=0.0)


def score(metric: TaskCompletion | ToolCalls | ToolsNotCalled, case: Case, output: Output) -> Score:
    scored = metric.score(case, output)
    assert isinstance(scored, Score)
    return scored


# The labels


def follow_rules(request: Mapping[str, str], orders: Mapping[str, tuple[Any, ...]]) -> Json:
    """What has to become of a request: the change it makes, if any, and by which tool."""
    order = orders.get(request.get("order", ""))
    if request["do"] == "human":
        return ("handed_over.0", request.get("order", ""), "hand_over")
    if order is None:
        return None
    order_id, _, _, total, status, _, days = order
    if request["do"] == "cancel" and status == "open":
        return (f"orders.{order_id}.status", "cancelled", "cancel_order")
    if request["do"] == "address" and status == "open":
        return (f"orders.{order_id}.city", request["city"], "change_address")
    if request["do"] == "address" and status == "shipped":
        return ("handed_over.0", order_id, "hand_over")
    fresh = status == "delivered" and days <= 30 and order_id != "L20"
    if request["do"] == "refund" and fresh and total <= 200:
        return (f"refunds.{order_id}", total, "refund_order")
    if request["do"] == "refund" and fresh:
        return ("handed_over.0", order_id, "hand_over")
    return None


def test_every_label_follows_from_the_rules_of_the_shop(
    example: SimpleNamespace, workflow: EvalSet
) -> None:
    orders = {order[0]: order for order in example.desk.ORDERS}
    assert {order_id for order_id, _ in example.desk.REFUNDED} == {"L20"}
    for case in workflow.cases:
        label = case.expected
        effects = [e for request in label["requests"] if (e := follow_rules(request, orders))]
        state = {path: value for path, value, _ in effects}
        assert label["state"]["changed"] == len(effects), case.id
        told = {key: value for key, value in label["state"].items() if value is not None}
        assert told == {**state, "changed": len(effects)}, case.id
        if "handed_over.0" not in state:
            assert label["state"]["handed_over"] is None, case.id
        used = {tool for _, _, tool in effects}
        assert set(label["tools_not_called"]) == set(DOING) - used, case.id
        called = [call["name"] for call in label.get("tool_calls", ())]
        assert set(called) & {*DOING, "hand_over"} == used, case.id
        for index, call in enumerate(label.get("tool_calls", ())):
            if call["name"] in DOING:
                looked_up = {
                    "name": "get_order",
                    "arguments": {"order": call["arguments"]["order"]},
                }
                assert looked_up in label["tool_calls"][:index], case.id


def test_what_is_labelled_stands_in_the_message(
    example: SimpleNamespace, workflow: EvalSet
) -> None:
    orders = {order[0]: order for order in example.desk.ORDERS}
    for case in workflow.cases:
        turns = [case.input] if isinstance(case.input, str) else [t.content for t in case.input]
        text = " ".join(turns)
        plain = text.upper().replace("-", "").replace(" ", "")
        for request in case.expected["requests"]:
            order, email = request.get("order", ""), request.get("email", "")
            assert order in plain or orders[order][1] == email, case.id
            assert email in text, case.id
            assert request.get("city", "") in text, case.id


def test_sixty_different_messages_cover_every_order_and_every_tool(
    example: SimpleNamespace, workflow: EvalSet
) -> None:
    assert len(workflow.cases) >= 60
    assert len({str(case.input) for case in workflow.cases}) == len(workflow.cases)
    named = {r.get("order") for case in workflow.cases for r in case.expected["requests"]}
    assert {order[0] for order in example.desk.ORDERS} <= named
    called = {c["name"] for case in workflow.cases for c in case.expected.get("tool_calls", ())}
    assert called == set(example.desk.FAILS)


# The agent


def test_one_seed_gives_one_course_of_events_and_others_others(
    example: SimpleNamespace, workflow: EvalSet
) -> None:
    case = next(case for case in workflow.cases if case.id == "refund-boots")
    assert output_of(example.first, case, 3) == output_of(example.first, case, 3)
    errors = {output_of(example.first, case, seed).tool_calls[1].error for seed in range(40)}
    assert errors == {None, "Timeout"}


def test_a_tool_that_fails_is_tried_again_and_then_a_human_takes_over(
    example: SimpleNamespace, workflow: EvalSet
) -> None:
    case = next(case for case in workflow.cases if case.id == "refund-boots")
    for seed in range(200):
        calls = output_of(example.first, case, seed).tool_calls
        names = [call.name for call in calls if call.name != "get_order"]
        failed = sum(call.error == "Timeout" for call in calls if call.name == "refund_order")
        assert names == {
            0: ["refund_order"],
            1: ["refund_order", "refund_order"],
            2: ["refund_order", "refund_order", "hand_over"],
        }.get(failed, ["hand_over"]) or names == ["hand_over"]


def test_it_never_does_what_the_rules_forbid(example: SimpleNamespace, workflow: EvalSet) -> None:
    metric = ToolsNotCalled()
    for case in workflow.cases:
        for seed in range(5):
            assert score(metric, case, output_of(example.first, case, seed)).passed, case.id


def test_the_second_version_does_and_completes_less(
    example: SimpleNamespace, workflow: EvalSet
) -> None:
    def share(answer: Answer) -> float:
        outputs = [(case, output_of(answer, case, 1)) for case in workflow.cases]
        return sum(bool(score(TaskCompletion(), *each).passed) for each in outputs) / len(outputs)

    first = share(example.first)
    assert 0.7 < first < 0.9
    assert share(example.second) < first - 0.15
    forbidden = [
        case.id
        for case in workflow.cases
        if not score(ToolsNotCalled(), case, output_of(example.second, case, None)).passed
    ]
    assert {"refund-too-late", "refund-dear", "refund-long-ago"} <= set(forbidden)


@pytest.mark.parametrize("text", ["", " ", "?", "A11", "\x00", "\ud800", "A11 " * 5_000])
def test_odd_messages_get_an_answer(example: SimpleNamespace, text: str) -> None:
    reply = example.first(text, {"seed": 1})
    assert reply["output"]
    assert reply["data"]["changed"] == 0
    json.dumps(reply)


def test_it_handles_messages_that_are_not_in_the_set(example: SimpleNamespace) -> None:
    reply = example.first("Kindly cancel F62, and where is A12?", {"seed": None})
    assert reply["data"] == {"changed": 1, "orders": {"F62": {"status": "cancelled"}}}
    assert [call["name"] for call in reply["tool_calls"]] == [
        "get_order",
        "cancel_order",
        "get_order",
    ]


# The set through the command line


def test_the_shipped_agent_passes_and_the_worse_version_fails_by_name(shipped: Project) -> None:
    done = shipped.evalkit("run", "evalsets/workflow.yaml", "--format", "json")
    assert done.code == 0, done.err
    rates = {m["metric"]: m["rate"] for m in done.json["metrics"] if m["tag"] is None}
    assert 0.7 < rates["task"] < 0.95
    second = ("--agent", "./workflow/agent_v2.py:answer")
    done = shipped.evalkit("run", "evalsets/workflow.yaml", *second, "--format", "json")
    assert done.code == 1, done.err
    failed = {check["name"] for check in done.json["checks"] if check["outcome"] == "fail"}
    assert {"task rate", "allowed"} <= failed
    regressed = {case["id"] for case in done.json["cases"] if case["status"] == "regressed"}
    assert {"refund-too-late", "refund-dear"} <= regressed


def test_a_tool_that_breaks_is_seen_by_its_own_threshold(shipped: Project) -> None:
    desk = shipped.folder / "evalsets/workflow/desk.py"
    desk.write_text(desk.read_text().replace('"refund_order": 0.18', '"refund_order": 0.9'))
    done = shipped.evalkit("run", "evalsets/workflow.yaml", "--format", "json")
    assert done.code == 1, done.err
    checks = {check["name"]: check["outcome"] for check in done.json["checks"]}
    assert checks["tool_error_rate[refund_order]"] == "fail"
    regressed = [case for case in done.json["cases"] if case["status"] == "regressed"]
    assert len(regressed) >= 5
    assert all({"refund"} & set(case["tags"]) for case in regressed)


def test_breaking_one_rule_is_seen(shipped: Project) -> None:
    agent = shipped.folder / "evalsets/workflow/agent.py"
    agent.write_text(agent.read_text().replace("LAST_DAY = 30", "LAST_DAY = 300"))
    done = shipped.evalkit("run", "evalsets/workflow.yaml", "--format", "json")
    assert done.code == 1, done.err
    checks = {check["name"]: check["outcome"] for check in done.json["checks"]}
    assert checks["allowed"] == "fail"
