"""Steps told under the names of several conventions become spans under evalkit's own."""

from __future__ import annotations

import gzip
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.limits import MAX_ATTRIBUTE_CHARS, MAX_ATTRIBUTES, MAX_EXPORT_BYTES, MAX_SPANS
from evalkit.core.redaction import Redactor
from evalkit.core.safe_text import cell_width
from evalkit.core.spans import Span, ToolCall, Usage
from evalkit.core.trial import Output
from evalkit.report.screen import Screen
from evalkit.report.span_lines import tree_lines
from evalkit.report.span_tree import build_tree
from evalkit.report.tool_call_diff import describe_tool_call_diff
from evalkit.trace.normalizer import normalize_spans
from evalkit.trace.otlp import InvalidExport, read_export
from evalkit.trace.recording import SpanPayload, SpanRecording
from evalkit.trace.totals import fill_from_spans


def told(attributes: dict[str, Any] | None = None, **changes: Any) -> SpanPayload:
    defaults: SpanPayload = {
        "id": "a1",
        "parent": "",
        "name": "step",
        "start_ns": 1_000_000_000,
        "end_ns": 1_500_000_000,
        "error": None,
        "error_type": "",
        "attributes": attributes or {},
    }
    return {**defaults, **changes}


def read_one(attributes: dict[str, Any] | None = None, **changes: Any) -> Span:
    [span] = normalize_spans([told(attributes, **changes)], start_ns=1_000_000_000)
    return span


TOOLS: dict[str, dict[str, Any]] = {
    "GenAI": {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "refund_order",
        "gen_ai.tool.call.arguments": '{"id": 7}',
        "gen_ai.tool.call.result": '{"ok": true}',
        "gen_ai.conversation.id": "s1",
        "user.id": "u1",
    },
    "OpenInference": {
        "openinference.span.kind": "TOOL",
        "tool.name": "refund_order",
        "tool.parameters": '{"type": "object"}',
        "input.value": '{"id": 7}',
        "output.value": '{"ok": true}',
        "session.id": "s1",
        "user.id": "u1",
    },
    "Vercel": {
        "ai.operationId": "ai.toolCall",
        "ai.toolCall.name": "refund_order",
        "ai.toolCall.args": '{"id": 7}',
        "ai.toolCall.result": '{"ok": true}',
        "ai.telemetry.metadata.sessionId": "s1",
        "ai.telemetry.metadata.userId": "u1",
    },
    "OpenLLMetry": {
        "traceloop.span.kind": "tool",
        "gen_ai.tool.name": "refund_order",
        "traceloop.entity.input": '{"id": 7}',
        "traceloop.entity.output": '{"ok": true}',
        "traceloop.association.properties.session_id": "s1",
        "traceloop.association.properties.user_id": "u1",
    },
    "evalkit": {
        "evalkit.kind": "tool",
        "evalkit.tool": "refund_order",
        "evalkit.arguments": {"id": 7},
        "evalkit.result": {"ok": True},
        "evalkit.session_id": "s1",
        "evalkit.user_id": "u1",
    },
}


@pytest.mark.parametrize("vocabulary", TOOLS)
def test_a_tool_call_is_read_from_every_vocabulary(vocabulary: str) -> None:
    span = read_one(TOOLS[vocabulary])
    assert (span.kind, span.tool) == ("tool", "refund_order")
    assert (span.arguments, span.result) == ({"id": 7}, {"ok": True})
    assert (span.user_id, span.session_id) == ("u1", "s1")
    assert span.attributes == {}


MODELS: dict[str, dict[str, Any]] = {
    "GenAI": {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m-2026",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.request.temperature": 0.2,
        "gen_ai.prompt.name": "answer",
        "operation.cost": 0.01,
    },
    "GenAI of old": {
        "gen_ai.system": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.usage.prompt_tokens": 11,
        "gen_ai.usage.completion_tokens": 4,
        "gen_ai.request.temperature": 0.2,
        "prompt.name": "answer",
        "gen_ai.usage.cost": 0.01,
    },
    "OpenInference": {
        "openinference.span.kind": "LLM",
        "llm.model_name": "m",
        "llm.token_count.prompt": 11,
        "llm.token_count.completion": 4,
        "llm.cost.total": 0.01,
        "llm.prompt_template.name": "answer",
        "gen_ai.request.temperature": 0.2,
    },
    "Vercel": {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.id": "m",
        "ai.usage.promptTokens": 11,
        "ai.usage.completionTokens": 4,
        "ai.settings.temperature": "0.2",
        "langfuse.observation.prompt.name": "answer",
        "evalkit.cost_usd": 0.01,
    },
}


@pytest.mark.parametrize("vocabulary", MODELS)
def test_a_model_call_is_read_from_every_vocabulary(vocabulary: str) -> None:
    span = read_one(MODELS[vocabulary])
    assert (span.kind, span.model, span.prompt) == ("model", "m", "answer")
    assert (span.input_tokens, span.output_tokens) == (11, 4)
    assert (span.temperature, span.cost_usd) == (0.2, 0.01)


@pytest.mark.parametrize(
    ("attributes", "name", "kind"),
    [
        ({"gen_ai.operation.name": "invoke_agent"}, "invoke_agent orders", "agent"),
        ({"openinference.span.kind": "RETRIEVER"}, "search", "retrieval"),
        ({"openinference.span.kind": "CHAIN"}, "graph", "step"),
        ({"gen_ai.operation.name": "something_new"}, "x", "step"),
        ({}, "execute_tool search", "tool"),
        ({"http.method": "GET"}, "GET", "step"),
    ],
)
def test_the_kind_of_a_step_is_told_or_follows_from_what_it_has(
    attributes: dict[str, Any], name: str, kind: str
) -> None:
    span = read_one(attributes, name=name)
    assert span.kind == kind
    assert span.tool == ("search" if kind == "tool" else "")


def test_what_has_no_field_of_its_own_stays_an_attribute_under_its_own_name() -> None:
    assert read_one({"deployment": "blue"}).attributes == {"deployment": "blue"}


def test_an_error_has_a_short_type_and_its_message() -> None:
    span = read_one(error="too slow", error_type="httpx.ReadTimeout")
    assert (span.error_type, span.error) == ("ReadTimeout", "too slow")
    assert read_one({"error.type": "429"}, error="failed").error_type == "429"
    assert read_one(error="failed").error_type == "error"
    assert read_one().error_type == ""


def test_times_count_from_the_start_of_the_trial_and_are_never_negative() -> None:
    spans = normalize_spans(
        [
            told(id="b", start_ns=3_000_000_000, end_ns=2_000_000_000),
            told(id="a", start_ns=2_000_000_000, end_ns=2_250_000_000),
        ],
        start_ns=2_500_000_000,  # by a clock that is ahead of the agent's
    )
    assert [(span.id, span.start_s, span.duration_s) for span in spans] == [
        ("a", 0.0, 0.25),
        ("b", 1.0, 0.0),
    ]


def test_a_step_below_the_trial_or_below_nothing_known_has_no_parent() -> None:
    steps = [
        told(id="a", parent="root"),
        told(id="b", parent="lost"),
        told(id="c", parent="a"),
        told(id="d", parent="d"),
    ]
    parents = {span.id: span.parent_id for span in normalize_spans(steps, start_ns=0, root="root")}
    assert parents == {"a": "", "b": "", "c": "a", "d": ""}


def test_a_span_sent_twice_is_one_and_spans_in_a_circle_are_none() -> None:
    assert len(normalize_spans([told(), told()], start_ns=0)) == 1
    circle = [told(id="a", parent="b"), told(id="b", parent="a"), told(id="c")]
    assert [span.id for span in normalize_spans(circle, start_ns=0)] == ["c"]


def test_numbers_that_are_none_are_left_out() -> None:
    span = read_one(
        {"gen_ai.usage.input_tokens": "many", "llm.cost.total": -1, "evalkit.kind": "model"}
    )
    assert (span.input_tokens, span.cost_usd) == (None, None)
    for text in ("[NaN]", '{"a": 1e999}', "[" * 60 + "]" * 60, "{not json"):
        assert read_one({"evalkit.arguments": text}).arguments == text


def span(span_id: str, **fields: Any) -> Span:
    return Span(id=span_id, **{"name": span_id, **fields})


def test_tool_calls_usage_and_cost_are_what_the_spans_add_up_to() -> None:
    spans = (
        span("agent", kind="agent", input_tokens=30, output_tokens=6, cost_usd=0.3),
        span("m1", kind="model", parent_id="agent", input_tokens=10, output_tokens=2, cost_usd=0.1),
        span("inner", kind="model", parent_id="m1", input_tokens=10, output_tokens=2, cost_usd=0.1),
        span("m2", kind="model", parent_id="agent", input_tokens=20, output_tokens=4),
        span("t", kind="tool", tool="find", arguments={"q": 1}, error="no", duration_s=2.0),
    )
    folded = fill_from_spans(Output(text="x", spans=spans))
    assert folded.usage == Usage(input_tokens=30, output_tokens=6)
    assert folded.cost_usd == 0.1
    assert folded.tool_calls == (
        ToolCall(name="find", arguments={"q": 1}, error="no", duration_s=2.0),
    )


def test_what_the_agent_said_itself_is_not_replaced_by_its_spans() -> None:
    own = Output(
        tool_calls=(ToolCall(name="own"),),
        usage=Usage(input_tokens=1),
        cost_usd=0.0,
        spans=(span("t", kind="tool", input_tokens=5), span("m", kind="model", cost_usd=5.0)),
    )
    assert fill_from_spans(own) == own
    agent_only = fill_from_spans(Output(spans=(span("a", kind="agent", input_tokens=3),)))
    assert agent_only.usage == Usage(input_tokens=3)
    assert fill_from_spans(Output(spans=(span("s"),))).usage is None


def test_a_recording_keeps_no_more_than_the_caps_allow() -> None:
    recording = SpanRecording()
    for number in range(100_000):
        recording.add(told(id=str(number)))
    assert len(recording.spans) == MAX_SPANS
    assert recording.dropped == 100_000 - MAX_SPANS

    recording = SpanRecording()
    recording.add(told({"big": "x" * 5_000_000, **{f"k{n}": n for n in range(200)}}))
    kept = recording.spans[0]["attributes"]
    assert len(kept) == MAX_ATTRIBUTES
    assert len(kept["big"]) < MAX_ATTRIBUTE_CHARS + 100
    assert kept["big"].endswith("[... 5,000,000 characters in all]")
    assert recording.cut == 1 + 201 - MAX_ATTRIBUTES

    recording = SpanRecording()
    for number in range(MAX_SPANS):
        recording.add(told({f"k{n}": "x" * MAX_ATTRIBUTE_CHARS for n in range(5)}, id=str(number)))
    assert recording.dropped > 0
    assert len(json.dumps(recording.spans)) < 4_500_000


class Awkward:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner) | st.dictionaries(st.text(), inner)


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
            | st.builds(Awkward),
            _nested,
            max_leaves=8,
        ),
    )
)  # fmt: skip
def test_whatever_an_agent_tells_can_be_stored(attributes: dict[str, Any]) -> None:
    recording = SpanRecording()
    recording.add(told(attributes))
    json.dumps(recording.spans, allow_nan=False)
    [read] = normalize_spans(recording.spans, start_ns=0)
    Redactor({"MY_TOKEN": "0123456789"}).redact_output(Output(spans=(read,)))


def test_secrets_are_blanked_by_their_value_and_by_the_name_they_stand_under() -> None:
    redactor = Redactor({"MY_API_KEY": "s3cret-value"})
    dirty = span(
        "s",
        error="refused s3cret-value",
        arguments={
            "password": "hunter2",
            "token": "abc",
            "nested": [{"api_key": "k"}],
            "key": "A7",
        },
        result='{"access_token": "xyz", "total_tokens": "12"}',
        attributes={
            "http.request.header.authorization": ["Bearer x"],
            "gen_ai.usage.reasoning_tokens": 7,
            "llm.token_count.prompt_details": "5",
            "note": "s3cret-value",
        },
    )
    cleaned = redactor.redact_output(Output(spans=(dirty,)))
    assert cleaned.flags == ("redacted",)
    [clean] = cleaned.spans
    assert clean.error == "refused ***MY_API_KEY***"
    assert clean.arguments == {
        "password": "***",
        "token": "***",
        "nested": [{"api_key": "***"}],
        "key": "A7",
    }
    assert clean.result == '{"access_token": "***", "total_tokens": "12"}'
    assert clean.attributes == {
        "http.request.header.authorization": ["***"],
        "gen_ai.usage.reasoning_tokens": 7,
        "llm.token_count.prompt_details": "5",
        "note": "***MY_API_KEY***",
    }
    harmless = Output(spans=(span("s", arguments={"query": "shoes"}),))
    assert redactor.redact_output(harmless) == harmless
    assert (
        Redactor({}).redact_output(Output(spans=(dirty,))).spans[0].arguments["password"] == "***"
    )


def otlp(**changes: Any) -> bytes:
    sent = {
        "spanId": "00000000000000a1",
        "traceId": "0" * 31 + "1",
        "startTimeUnixNano": "5",
        **changes,
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [sent]}]}]}).encode()


def test_otlp_in_json_is_read_with_all_its_kinds_of_values() -> None:
    values = {
        "s": {"stringValue": "x"},
        "i": {"intValue": "12"},
        "d": {"doubleValue": 0.5},
        "b": {"boolValue": True},
        "l": {"arrayValue": {"values": [{"intValue": 1}]}},
        "m": {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "v"}}]}},
        "e": {},
    }
    body = otlp(
        name="n",
        endTimeUnixNano=9,
        attributes=[{"key": key, "value": value} for key, value in values.items()],
        status={"code": 2, "message": ""},
        events=[
            {
                "name": "exception",
                "attributes": [
                    {"key": "exception.type", "value": {"stringValue": "ValueError"}},
                    {"key": "exception.message", "value": {"stringValue": "no"}},
                ],
            }
        ],
    )
    for sent, encoding in ((body, ""), (gzip.compress(body), "gzip")):
        [received] = read_export(sent, "application/json", encoding)
        step = received.payload
        assert (received.trace_id, received.resource_trace_id) == ("0" * 31 + "1", "")
        assert step["attributes"] == {
            "s": "x", "i": 12, "d": 0.5, "b": True, "l": [1], "m": {"k": "v"}, "e": None
        }  # fmt: skip
        assert (step["error"], step["error_type"]) == ("no", "ValueError")
    [received] = read_export(otlp(traceId="AAAAAAAAAAAAAAAAAAAAAQ=="), "application/json", "")
    assert received.trace_id == "0" * 31 + "1"


@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        (b"\xff\xfe", "application/json", ""),
        (b"[]", "application/json", ""),
        (b'{"resourceSpans": 5}', "application/json", ""),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}', "application/json", ""),
        (b"[" * 100_000, "application/json", ""),
        (b"not protobuf at all", "application/x-protobuf", ""),
        (b"{}", "text/plain", ""),
        (b"{}", "application/json", "br"),
        (b"{}", "application/json", "gzip"),
        (gzip.compress(b" " * (MAX_EXPORT_BYTES + 1)), "application/json", "gzip"),
    ],
)
def test_what_is_no_export_is_refused_with_a_reason(
    body: bytes, content_type: str, encoding: str
) -> None:
    with pytest.raises(InvalidExport, match=r"\w"):
        list(read_export(body, content_type, encoding))


def calls(*names: str, **changes: Any) -> list[ToolCall]:
    return [ToolCall(name=name, **changes) for name in names]


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (
            calls("search", "lookup_order"),
            calls("search", "search"),
            [
                "v4 calls search twice and never lookup_order; v3 calls search once and lookup_order once.",
                "They differ at call 2: v3 calls lookup_order, v4 search.",
            ],
        ),
        (
            calls("search"),
            calls("search", "refund"),
            [
                "v4 calls refund once; v3 never calls refund.",
                "They differ at call 2, which only v4 makes: refund.",
            ],
        ),
        (
            [ToolCall(name="refund", arguments={"id": 7, "why": "x"})],
            [ToolCall(name="refund", arguments={"id": 8, "why": "x"}, error="Timeout")],
            [
                'They differ at call 1, refund: v3 gives {"id": 7}, v4 {"id": 8}.',
                "refund fails in v4: Timeout.",
            ],
        ),
        (
            calls("a"),
            calls("a"),
            ["Both call the same tools in the same order with the same arguments."],
        ),
        ([], [], ["Neither calls a tool."]),
    ],
)
def test_where_two_trials_part_is_said_in_words(
    before: list[ToolCall], now: list[ToolCall], words: list[str]
) -> None:
    assert describe_tool_call_diff(before, now, ("v3", "v4")) == words


@pytest.mark.parametrize(("width", "unicode"), [(40, True), (80, False), (200, True)])
def test_a_tree_fits_the_screen_whatever_the_steps_are_called(width: int, unicode: bool) -> None:
    deep = [
        span(
            str(n),
            parent_id=str(n - 1) if n else "",
            name="名前\x1b[31m" * 9,
            start_s=n,
            duration_s=1.0,
        )
        for n in range(40)
    ]
    wild = span(
        "t", kind="tool", tool="::error::", arguments={"q": "\u202e" * 200}, error="x\n##[cmd]"
    )
    screen = Screen(width=width, unicode=unicode)
    lines = list(tree_lines((*deep, wild), 3.0, screen))
    assert all(cell_width(line) <= screen.columns for line in lines)
    assert not any(char in line for line in lines for char in "\x1b\u202e\n")
    assert unicode or all(line.isascii() for line in lines)


def test_a_tree_holds_every_span_once_below_its_parent() -> None:
    spans = [span("a"), span("b", parent_id="a"), span("c"), span("d", parent_id="b")]
    for order in itertools.permutations(spans):
        branches = build_tree(order)
        assert sorted(branch.span.id for branch in branches) == ["a", "b", "c", "d"]
        depth = {branch.span.id: branch.depth for branch in branches}
        assert depth == {"a": 1, "b": 2, "c": 1, "d": 3}


def test_a_tree_holds_every_span_once_though_parents_are_missing_or_make_a_circle() -> None:
    spans = [
        span("a", parent_id="b"),
        span("b", parent_id="a"),
        span("c", parent_id="gone"),
        span("d", parent_id="c"),
        span("e", parent_id="e"),
    ]
    for order in itertools.permutations(spans):
        branches = build_tree(order)
        assert sorted(branch.span.id for branch in branches) == ["a", "b", "c", "d", "e"]
        depth = {branch.span.id: branch.depth for branch in branches}
        assert (depth["c"], depth["d"], depth["e"]) == (1, 2, 1)
