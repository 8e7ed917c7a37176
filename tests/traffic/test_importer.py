"""Imports of any size, traces of SDKs, and texts in messages of any shape."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace import Status, StatusCode

from evalkit.core.prices import TokenCounts, look_up_cost_usd
from evalkit.traffic.importer import ImportOptions, import_files
from evalkit.traffic.known_prices import KnownPrices
from evalkit.traffic.message_text import find_answer_text, find_user_text
from evalkit.traffic.table import open_traffic, traffic_folder
from tests.bench.traffic_import import write_sample
from tests.support.paths import ROOT
from tests.support.traffic_samples import KeptValues, export, span, support_request, write_lines

MEASURE = """
import json, resource, sys
from pathlib import Path
from tests.bench.traffic_import import measure_import
print(json.dumps(measure_import(Path(sys.argv[1]), Path(sys.argv[2]))))
"""


def measure(root: Path, spans: int) -> dict[str, float]:
    root.mkdir()
    path = root / "in.jsonl"
    write_sample(path, spans)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), str(root)],
        cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ),
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small, large = measure(tmp_path / "small", 20_000), measure(tmp_path / "large", 200_000)
    assert (small["spans"], large["spans"]) == (20_000, 200_000)
    # Ten times as many spans take about 100 MB more text, of which memory holds a bounded part.
    assert large["peak_mb"] < small["peak_mb"] + 200


class MessageFile(SpanExporter):
    """Writes spans like the Collector: each message with its length before it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        data = encode_spans(spans).SerializeToString()
        with self._path.open("ab") as stream:
            stream.write(len(data).to_bytes(4, "big") + data)
        return SpanExportResult.SUCCESS


def test_what_the_opentelemetry_sdk_exports_is_read(tmp_path: Path) -> None:
    provider = TracerProvider(
        resource=Resource.create(
            {"service.version": "v4", "deployment.environment.name": "staging", "user.id": "u1"}
        )
    )
    provider.add_span_processor(BatchSpanProcessor(MessageFile(tmp_path / "out.pb")))
    tracer = provider.get_tracer("shop")
    with tracer.start_as_current_span("invoke_agent shop") as root:
        root.set_attribute("gen_ai.operation.name", "invoke_agent")
        root.set_attribute("gen_ai.conversation.id", "c1")
        with tracer.start_as_current_span("chat") as chat:
            chat.set_attributes(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.request.model": "gpt-4o-mini",
                    "gen_ai.usage.input_tokens": 12,
                    "gen_ai.usage.output_tokens": 3,
                    "gen_ai.input.messages": json.dumps([{"role": "user", "content": "Hello?"}]),
                }
            )
            chat.add_event("gen_ai.choice", {"message": "Hi."})
        with tracer.start_as_current_span("execute_tool find") as tool:
            tool.set_attributes(
                {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find"}
            )
            tool.record_exception(KeyError("no order"))
            tool.set_status(Status(StatusCode.ERROR, "no order"))
        root.set_status(Status(StatusCode.OK))
    provider.shutdown()
    folder = traffic_folder(tmp_path, "prod")
    import_files([tmp_path / "out.pb"], folder, ImportOptions(), KeptValues(), lambda: NOW)
    with open_traffic(folder) as connection:
        [row] = connection.execute(
            'select ok, version, environment, session, "user", tools, tool_errors, input, output, '
            "input_tokens from requests"
        ).fetchall()
    # A tool failed, and the agent answered all the same.
    assert row == (True, "v4", "staging", "c1", "u1", ["find"], 1, "Hello?", "Hi.", 12)


NOW = datetime(2026, 12, 1, tzinfo=UTC)


def test_an_import_that_was_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = traffic_folder(tmp_path, "prod")
    (folder / ".import-dead").mkdir(parents=True)
    path = write_lines(tmp_path / "a.jsonl", [export(support_request(1))])
    import_files([path], folder, ImportOptions(), KeptValues(), lambda: NOW)
    assert sorted(each.name for each in folder.iterdir()) == ["imports.jsonl", "requests", "spans"]


def test_odd_values_are_stored(tmp_path: Path) -> None:
    odd: dict[str, Any] = {
        "surrogate": "\ud800 half", "nul": "a\u0000b", "large": 2**63 - 1, "deep": [[["x"]]],
        "quote": "it's; drop table requests --",
    }  # fmt: skip
    found = span(f"{1:032x}", 1, name="it's 'odd'", gen_ai__operation__name="chat", **odd)
    path = write_lines(tmp_path / "a.jsonl", [export([found], service__version="v'1")])
    folder = traffic_folder(tmp_path, "it.s-odd")
    import_files([path], folder, ImportOptions(source="o'k"), KeptValues(), lambda: NOW)
    with open_traffic(folder) as connection:
        rows = connection.execute(
            "select s.name, version, attributes ->> 'large' from spans s"
        ).fetchall()
    assert rows == [("it's 'odd'", "v'1", str(2**63 - 1))]


def test_a_call_enclosed_by_another_instrumentation_counts_once(tmp_path: Path) -> None:
    trace = f"{1:032x}"
    usage: dict[str, Any] = {
        "gen_ai__operation__name": "chat", "gen_ai__usage__input_tokens": 10,
        "gen_ai__request__model": "gpt-4o-mini",
    }  # fmt: skip
    tool: dict[str, Any] = {
        "gen_ai__operation__name": "execute_tool", "gen_ai__tool__name": "find",
    }  # fmt: skip
    spans = [
        span(trace, 1, **usage), span(trace, 2, 1), span(trace, 3, 2, **usage),
        span(trace, 4, 1, **tool), span(trace, 5, 4), span(trace, 6, 5, **tool),
    ]  # fmt: skip
    path = write_lines(tmp_path / "a.jsonl", [export(spans)])
    folder = traffic_folder(tmp_path, "prod")
    import_files([path], folder, ImportOptions(), KeptValues(), lambda: NOW)
    with open_traffic(folder) as connection:
        found = connection.execute("select input_tokens, tools from requests").fetchall()
    assert found == [(10, ["find"])]


LANGCHAIN = {
    "messages": [
        [
            {"id": ["langchain", "schema", "HumanMessage"], "kwargs": {"content": "first"}},
            {"id": ["langchain", "schema", "AIMessage"], "kwargs": {"content": "yes?"}},
            {"id": ["langchain", "schema", "HumanMessage"], "kwargs": {"content": "second"}},
        ]
    ]
}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ('{"question": "inner"}', "inner"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "a"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}], "a"),
        ({"contents": [{"role": "user", "parts": [{"text": "gemini"}]}]}, "gemini"),
        (LANGCHAIN, "second"),
        ({"input": [{"role": "user", "content": "r"}], "model": "m"}, "r"),
        ([{"role": "assistant", "content": "only"}], None),
        ({"ticket": "one value"}, "one value"),
        ({"a": 1, "b": 2}, None),
        (None, None),
    ],
)
def test_the_last_message_of_the_user_is_found(value: Any, text: str | None) -> None:
    assert find_user_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"choices": [{"message": {"role": "assistant", "content": "a"}}]}, "a"),
        ({"generations": [[{"text": "g", "message": {"content": "x"}}]]}, "g"),
        ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "o"}]}]}, "o"),
        ([{"role": "user", "content": "q"}, {"type": "ai", "content": "a"}], "a"),
        ([{"type": "text", "text": "t"}, {"type": "tool_use", "name": "x"}], "t"),
    ],
)
def test_the_last_message_of_the_agent_is_found(value: Any, text: str | None) -> None:
    assert find_answer_text(value) == text


def test_prices_by_rate_are_those_of_the_list() -> None:
    prices = KnownPrices()
    counts = [
        TokenCounts(input_tokens=123, output_tokens=45),
        TokenCounts(input_tokens=300_123, output_tokens=45, cached_tokens=1_000),
    ]
    for model, seller in (("gpt-4o-mini", "openai"), ("gemini-2.5-pro", "google"), ("my-own", "")):
        for tokens in counts:
            known = look_up_cost_usd(model, tokens, provider=seller)
            found = prices.find_cost_usd(model, seller, tokens)
            assert found == (None if known is None else pytest.approx(known))


def import_trace(tmp_path: Path, *spans: dict[str, Any]) -> list[tuple[Any, ...]]:
    path = write_lines(tmp_path / "a.jsonl", [export(spans)])
    folder = traffic_folder(tmp_path, "prod")
    import_files([path], folder, ImportOptions(), KeptValues(), lambda: NOW)
    with open_traffic(folder) as connection:
        return connection.execute(
            "select input, output, ok, error_type, error_text, tools, tool_errors from requests"
        ).fetchall()


def test_a_run_without_an_answer_fails_by_its_last_call(tmp_path: Path) -> None:
    chat: dict[str, Any] = {"gen_ai__operation__name": "chat"}
    agent: dict[str, Any] = {"gen_ai__operation__name": "invoke_agent", "input__value": "Where?"}
    root = span(f"{1:032x}", 1, **agent)
    root["status"] = {"code": 1}  # as OpenInference writes it for the OpenAI Agents SDK
    failed = span(f"{1:032x}", 2, 1, error="refused", error__type="BadRequestError", **chat)
    served = span(f"{2:032x}", 3, name="POST /chat", error="500", error__type="500")
    asked = span(f"{2:032x}", 4, 3, **chat, error="refused", error__type="BadRequestError")
    recovered = [
        span(f"{3:032x}", 5, **agent),
        span(f"{3:032x}", 6, 5, error="busy", **chat),
        span(f"{3:032x}", 7, 5, start_ms=9, output__value="Here.", **chat),
    ]
    made = span(f"{4:032x}", 8, name="create_agent shop", gen_ai__operation__name="create_agent")
    rows = import_trace(tmp_path, root, failed, served, asked, *recovered, made)
    assert sorted(rows, key=str) == [
        ("Where?", "Here.", True, None, None, [], 0),
        ("Where?", None, False, "BadRequestError", "refused", [], 0),
        (None, None, False, "BadRequestError", "refused", [], 0),
    ]


def test_the_answer_is_that_of_the_outermost_agent(tmp_path: Path) -> None:
    agent: dict[str, Any] = {"gen_ai__operation__name": "invoke_agent"}
    tool: dict[str, Any] = {"gen_ai__operation__name": "execute_tool", "gen_ai__tool__name": "find"}
    parts = json.dumps([{"role": "user", "content": json.dumps([{"text": "Where?"}])}])
    rows = import_trace(
        tmp_path,
        span(f"{1:032x}", 1, name="POST /chat"),
        span(f"{1:032x}", 2, 1, gen_ai__input__messages=parts, output__value="All.", **agent),
        span(f"{1:032x}", 3, 2, start_ms=1, output__value="Part.", **agent),
        span(f"{1:032x}", 4, 2, start_ms=2, **tool),
        span(f"{1:032x}", 5, 4, start_ms=3, error="none found", **tool),
    )
    assert rows == [("Where?", "All.", True, None, None, ["find"], 1)]
