"""Files of each format become requests, spans, and feedback."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import zstandard
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from evalkit.core.errors import InvalidInput, StoreError
from evalkit.traffic.importer import ImportOptions, ImportResult, import_files
from evalkit.traffic.table import open_traffic, traffic_folder
from tests.support.traffic_samples import (
    START_NS,
    KeptValues,
    export,
    pairs,
    span,
    support_request,
    write_lines,
)


def load(root: Path, *paths: Path, **options: Any) -> ImportResult:
    return import_files(
        paths,
        traffic_folder(root, "prod"),
        ImportOptions(**options),
        KeptValues(),
        lambda: datetime(2026, 12, 1, tzinfo=UTC),
    )


def query(root: Path, sql: str) -> list[tuple[Any, ...]]:
    with open_traffic(traffic_folder(root, "prod")) as connection:
        return connection.execute(sql).fetchall()


def only(rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    [row] = rows
    return row


def to_protobuf(record: dict[str, Any]) -> bytes:
    """Return an export in JSON as protobuf, whose JSON has base64 ids."""
    changed = json.loads(json.dumps(record))
    for resource in changed["resourceSpans"]:
        for found in resource["scopeSpans"][0]["spans"]:
            for key in ("traceId", "spanId", "parentSpanId"):
                if key in found:
                    found[key] = base64.b64encode(bytes.fromhex(found[key])).decode()
    message: bytes = ParseDict(changed, ExportTraceServiceRequest()).SerializeToString()
    return message


def frame(*messages: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(each)) + each for each in messages)


@pytest.mark.parametrize("form", ["plain", "frames", "zstd frames", "json frames", "gz", "zst"])
def test_all_forms_of_a_collectors_file_are_equal(form: str, tmp_path: Path) -> None:
    exports = [export(support_request(number), service__version="v1") for number in range(3)]
    messages = [to_protobuf(each) for each in exports]
    squeeze = zstandard.ZstdCompressor().compress
    lines = "\n".join(map(json.dumps, exports)).encode()
    content = {
        "plain": b"".join(messages),
        "frames": frame(*messages),
        "zstd frames": frame(*map(squeeze, messages)),
        "json frames": frame(*(squeeze(json.dumps(each).encode()) for each in exports)),
        "gz": gzip.compress(lines),
        "zst": squeeze(lines[:100]) + squeeze(lines[100:]),
    }[form]
    path = tmp_path / "traces"
    path.write_bytes(content)
    assert load(tmp_path, path).added == {"requests": 3, "spans": 15, "feedback": 0}
    write_lines(tmp_path / "same.jsonl", exports)
    assert load(tmp_path, tmp_path / "same.jsonl").added == {
        "requests": 0,
        "spans": 0,
        "feedback": 0,
    }


def test_ids_and_enums_of_lax_exporters_are_understood(tmp_path: Path) -> None:
    [found] = [span("ABCDEF" + "0" * 26, 1, gen_ai__operation__name="chat")]
    found["status"] = {"code": "STATUS_CODE_ERROR", "message": "late"}
    found["startTimeUnixNano"] = int(found["startTimeUnixNano"])
    inner = span("", 2, gen_ai__operation__name="execute_tool", gen_ai__tool__name="t")
    inner["traceId"] = base64.b64encode(bytes.fromhex("abcdef" + "0" * 26)).decode()
    inner["spanId"] = base64.b64encode(bytes(7) + b"\2").decode()
    inner["parentSpanId"] = base64.b64encode(bytes(7) + b"\1").decode()
    pretty = json.dumps({"batches": export([found, inner])["resourceSpans"]}, indent=1)
    (tmp_path / "tempo.json").write_text(pretty)
    load(tmp_path, tmp_path / "tempo.json")
    assert query(tmp_path, "select ok, error_text, tools, incomplete from requests") == [
        (False, "late", ["t"], False)
    ]


def test_a_late_root_completes_its_request(tmp_path: Path) -> None:
    root, *others = support_request(1)
    write_lines(tmp_path / "a.jsonl", [export(others)])
    load(tmp_path, tmp_path / "a.jsonl")
    state = "select incomplete, latency_ms is null, ok, day::varchar from requests"
    # It has an answer, and may have crashed all the same.
    assert only(query(tmp_path, state))[:3] == (True, True, None)
    # The root began on the day before its other spans, so the whole trace moves there.
    root["startTimeUnixNano"] = str(START_NS - 86_400 * 10**9)
    write_lines(tmp_path / "b.jsonl", [export([root])])
    assert load(tmp_path, tmp_path / "b.jsonl").added["requests"] == 0
    assert query(tmp_path, state) == [(False, False, True, "2026-10-31")]
    assert query(tmp_path, "select day::varchar, count(*) from spans group by day") == [
        ("2026-10-31", 5)
    ]
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


def test_a_called_service_is_a_root_and_a_health_check_no_request(tmp_path: Path) -> None:
    served = span(f"{1:032x}", 1, 99, gen_ai__operation__name="invoke_agent")
    served["kind"] = 2
    cut = span(f"{2:032x}", 1, 99, gen_ai__operation__name="invoke_agent")
    health = span(f"{3:032x}", 1, name="GET /healthz")
    write_lines(tmp_path / "a.jsonl", [export([served, cut, health])])
    load(tmp_path, tmp_path / "a.jsonl")
    found = query(tmp_path, "select right(request_id, 1), incomplete from requests order by 1")
    assert found == [("1", False), ("2", True)]


def test_evaluations_in_events_and_in_logs_are_feedback(tmp_path: Path) -> None:
    rated = span(f"{1:032x}", 1, gen_ai__operation__name="chat")
    result = {"gen_ai.evaluation.name": "user_rating", "gen_ai.evaluation.score.label": "like"}
    rated["events"] = [
        {
            "name": "gen_ai.evaluation.result",
            "timeUnixNano": str(START_NS),
            "attributes": pairs(result),
        }
    ]
    record = {
        "timeUnixNano": str(START_NS + 1),
        "eventName": "gen_ai.evaluation.result",
        "traceId": f"{1:032x}",
        "spanId": f"{1:016x}",
        "attributes": pairs(
            {"gen_ai.evaluation.name": "toxicity", "gen_ai.evaluation.score.value": 1.0}
        ),
    }
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    write_lines(tmp_path / "a.jsonl", [{**export([rated]), **logs}])
    load(tmp_path, tmp_path / "a.jsonl")
    rows = query(
        tmp_path,
        "select f.name, value, label, good from feedback f join requests using (request_id) "
        "order by f.name",
    )
    # A high toxicity is not known to be good.
    assert rows == [("toxicity", 1.0, None, None), ("user_rating", None, "like", True)]
    message = ExportLogsServiceRequest()
    log = message.resource_logs.add().scope_logs.add().log_records.add()
    log.trace_id, log.span_id = bytes(15) + b"\1", bytes(7) + b"\1"
    log.time_unix_nano = START_NS + 2
    for key, value in (("event.name", "gen_ai.evaluation.result"), ("gen_ai.evaluation.name", "n")):
        log.attributes.add(key=key).value.string_value = value
    (tmp_path / "logs.pb").write_bytes(frame(message.SerializeToString()))
    assert load(tmp_path, tmp_path / "logs.pb").added["feedback"] == 1


def test_messages_in_logs_belong_to_their_request(tmp_path: Path) -> None:
    asked = span(f"{1:032x}", 1, name="chat", ms=500, gen_ai__operation__name="chat")
    records = [
        {
            "timeUnixNano": str(START_NS + 10**6 + number),
            "traceId": f"{1:032x}",
            "spanId": f"{1:016x}",
            "attributes": pairs({"event.name": name}),
            "body": {"kvlistValue": {"values": pairs({"content": text})}},
        }
        for number, (name, text) in enumerate(
            [
                ("gen_ai.system.message", "Help."),
                ("gen_ai.user.message", "Hi?"),
                ("gen_ai.choice", "Yo."),
            ]
        )
    ]
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    load(tmp_path, write_lines(tmp_path / "logs.jsonl", [logs]))
    load(tmp_path, write_lines(tmp_path / "spans.jsonl", [export([asked])]))
    sql = "select input, output, latency_ms, incomplete, ok from requests"
    assert query(tmp_path, sql) == [("Hi?", "Yo.", 500.0, False, True)]


OPENINFERENCE = {
    "openinference__span__kind": "LLM",
    "llm__model_name": "gpt-4o-mini",
    "llm__token_count__prompt": 10,
    "llm__token_count__completion": 5,
    "llm__input_messages__0__message__role": "user",
    "llm__input_messages__0__message__content": "Hi?",
    "llm__output_messages__0__message__content": "Yo.",
    "user__id": "u",
    "session__id": "s",
    "metadata": '{"version": "m1"}',
}
OPENLLMETRY = {
    "llm__request__type": "chat",
    "gen_ai__request__model": "gpt-4o-mini",
    "gen_ai__usage__prompt_tokens": 10,
    "gen_ai__usage__completion_tokens": 5,
    "gen_ai__prompt__0__role": "user",
    "gen_ai__prompt__0__content": "Hi?",
    "gen_ai__completion__0__content": "Yo.",
    "traceloop__association__properties__user_id": "u",
    "traceloop__association__properties__session_id": "s",
    "traceloop__association__properties__version": "m1",
}
VERCEL = {
    "ai__operationId": "ai.streamText.doStream",
    "ai__model__id": "gpt-4o-mini",
    "ai__usage__promptTokens": 10,
    "ai__usage__completionTokens": 5,
    "ai__prompt__messages": '[{"role":"user","content":[{"type":"text","text":"Hi?"}]}]',
    "ai__response__text": "Yo.",
    "ai__response__msToFirstChunk": 30.0,
    "ai__telemetry__metadata__userId": "u",
    "ai__telemetry__metadata__sessionId": "s",
    "ai__telemetry__metadata__version": "m1",
}
GENAI = {
    "gen_ai__operation__name": "chat",
    "gen_ai__response__model": "gpt-4o-mini",
    "gen_ai__usage__input_tokens": 10,
    "gen_ai__usage__output_tokens": 5,
    "gen_ai__input__messages": '[{"role":"user","parts":[{"type":"text","content":"Hi?"}]}]',
    "gen_ai__output__messages": '[{"role":"assistant","parts":[{"type":"text","content":"Yo."}]}]',
    "user__id": "u",
    "gen_ai__conversation__id": "s",
    "evalkit__version": "m1",
}


@pytest.mark.parametrize("dialect", [OPENINFERENCE, OPENLLMETRY, VERCEL, GENAI])
def test_every_dialect_gives_the_same_request(dialect: dict[str, Any], tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [export([span(f"{1:032x}", 1, **dialect)])])
    load(tmp_path, tmp_path / "a.jsonl")
    sql = (
        'select input, output, "user", session, version, model, input_tokens, output_tokens, '
        "cost_from, cost_usd > 0 from requests"
    )
    assert only(query(tmp_path, sql)) == (
        "Hi?", "Yo.", "u", "s", "m1", "gpt-4o-mini", 10, 5, "computed", True
    )  # fmt: skip


LANGFUSE: list[dict[str, Any]] = [
    {
        "id": "o1", "trace_id": "t1", "parent_observation_id": "", "type": "AGENT", "name": "shop",
        "start_time": "2026-11-02 10:00:00.000000", "end_time": "2026-11-02 10:00:03.000000",
        "level": "DEFAULT", "release": "v9", "version": "", "environment": "production",
        "user_id": "u", "session_id": "s", "input": '{"question": "Hi?"}', "output": "Yo.",
        "total_cost": 0,
    },
    {
        "id": "o2", "trace_id": "t1", "parent_observation_id": "o1", "type": "GENERATION",
        "name": "llm", "start_time": "2026-11-02 10:00:01", "end_time": "2026-11-02 10:00:02",
        "completion_start_time": "2026-11-02 10:00:01.5", "provided_model_name": "gpt-4o-mini",
        "usage_details": {"input": 7, "input_cached_tokens": 3, "output": 5, "total": 15},
        "total_cost": 0.25, "level": "DEFAULT",
    },
    {
        "id": "s1", "trace_id": "t1", "observation_id": "", "session_id": "", "name": "user-feedback",
        "value": 0, "string_value": "", "data_type": "NUMERIC", "source": "API", "comment": "no",
        "timestamp": "2026-11-03 09:00:00",
    },
]  # fmt: skip
LANGSMITH: list[dict[str, Any]] = [
    {
        "id": "r1", "trace_id": "r1", "parent_run_id": None, "run_type": "chain", "name": "shop",
        "start_time": "2026-11-02T10:00:00", "end_time": "2026-11-02T10:00:03", "status": "success",
        "inputs": {"messages": [{"type": "human", "content": "Hi?"}]}, "outputs": {"output": "Yo."},
        "extra": {"metadata": {"user_id": "u", "thread_id": "s", "revision_id": "v9",
                               "environment": "production"}},
        "prompt_tokens": 10, "completion_tokens": 5, "total_cost": "0.25", "session_id": "project",
    },
    {
        "id": "r2", "trace_id": "r1", "parent_run_id": "r1", "run_type": "llm", "name": "llm",
        "start_time": "2026-11-02T10:00:01", "end_time": "2026-11-02T10:00:02",
        "first_token_time": "2026-11-02T10:00:01.500", "inputs": {}, "outputs": {},
        "extra": {"metadata": {"ls_model_name": "gpt-4o-mini", "ls_provider": "openai"}},
        "prompt_tokens": 10, "completion_tokens": 5, "total_cost": "0.25",
    },
    {
        "id": "f1", "run_id": "r2", "key": "user_score", "score": 0, "value": "thumbs_down",
        "comment": "no", "created_at": "2026-11-03T09:00:00+00:00",
    },
]  # fmt: skip
PHOENIX: list[dict[str, Any]] = [
    {
        "context.trace_id": "t1", "context.span_id": "p1", "parent_id": None, "name": "shop",
        "span_kind": "AGENT", "start_time": "2026-11-02T10:00:00+00:00",
        "end_time": "2026-11-02T10:00:03+00:00", "status_code": "OK", "status_message": "",
        "attributes.input.value": "Hi?", "attributes.output.value": "Yo.",
        "attributes.user.id": "u", "attributes.session.id": "s",
        "attributes.metadata": {"version": "v9", "environment": "production"},
    },
    {
        "context.trace_id": "t1", "context.span_id": "p2", "parent_id": "p1", "name": "llm",
        "span_kind": "LLM", "start_time": "2026-11-02T10:00:01+00:00",
        "end_time": "2026-11-02T10:00:02+00:00", "status_code": "OK", "status_message": "",
        "attributes.llm.model_name": "gpt-4o-mini", "attributes.llm.token_count.prompt": 10.0,
        "attributes.llm.token_count.completion": 5.0, "attributes.llm.cost.total": 0.25,
        "attributes.llm.time_to_first_token": 0.5,
        "attributes.llm.input_messages": [{"message": {"role": "user", "content": "Hi?"}}],
    },
    {
        "span_id": "p2", "name": "thumbs", "annotator_kind": "HUMAN", "created_at": "2026-11-03T09:00:00Z",
        "result": {"label": "thumbs-down", "score": 0, "explanation": "no"},
    },
]  # fmt: skip


@pytest.mark.parametrize(
    ("records", "name"), [(LANGFUSE, "langfuse"), (LANGSMITH, "langsmith"), (PHOENIX, "phoenix")]
)
@pytest.mark.parametrize("feedback_first", [False, True])
def test_platforms_agree(
    records: list[dict[str, Any]], name: str, feedback_first: bool, tmp_path: Path
) -> None:
    *spans, rating = records
    paths = [
        write_lines(tmp_path / "spans.jsonl", spans),
        write_lines(tmp_path / "rating.jsonl", [rating]),
    ]
    for path in reversed(paths) if feedback_first else paths:
        result = load(tmp_path, path)
        assert result.imported[0].format == name
    sql = (
        'select input, output, "user", session, version, environment, model, input_tokens, '
        "output_tokens, cost_usd, cost_from, latency_ms, ttft_ms, ok from requests"
    )
    assert only(query(tmp_path, sql)) == (
        "Hi?", "Yo.", "u", "s", "v9", "production", "gpt-4o-mini", 10, 5, 0.25, "source", 3000.0,
        1500.0, True,
    )  # fmt: skip
    rating_sql = (
        "select good, f.day::varchar, comment from feedback f join requests using (request_id)"
    )
    assert query(tmp_path, rating_sql) == [(False, "2026-11-03", "no")]


def test_a_later_version_of_a_record_wins_in_any_order(tmp_path: Path) -> None:
    old = {**LANGFUSE[0], "output": "old", "updated_at": "2026-11-02 11:00:00"}
    new = {**LANGFUSE[0], "output": "new", "updated_at": "2026-11-02 12:00:00"}
    load(tmp_path, write_lines(tmp_path / "new.jsonl", [new]))
    load(tmp_path, write_lines(tmp_path / "old.jsonl", [old]))
    assert query(tmp_path, "select output from requests") == [("new",)]


def test_langfuses_api_has_the_trace_around_its_observations(tmp_path: Path) -> None:
    trace = {
        "id": "t1", "timestamp": "2026-11-02T10:00:00Z", "name": "chat", "userId": "u",
        "input": [{"role": "user", "content": "Hi?"}], "output": "Yo.", "latency": 2.0,
        "scores": [{"id": "s", "traceId": "t1", "name": "thumbs", "value": 1,
                    "dataType": "NUMERIC", "timestamp": "2026-11-02T10:01:00Z"}],
    }  # fmt: skip
    observation = {
        "id": "o1", "traceId": "t1", "type": "GENERATION", "startTime": "2026-11-02T10:00:00Z",
        "endTime": "2026-11-02T10:00:02Z", "level": "ERROR", "statusMessage": "no quota",
    }  # fmt: skip
    path = tmp_path / "trace.json"
    path.write_text(json.dumps([{"trace": trace, "observations": [observation]}], indent=2))
    load(tmp_path, path)
    sql = 'select input, "user", latency_ms, ok, error_text, good from requests join feedback using (request_id)'
    assert only(query(tmp_path, sql)) == ("Hi?", "u", 2000.0, False, "no quota", True)


OPENAI = {
    "ts": 1793520000.5, "latency_ms": 900, "user": "u", "metadata": {"session_id": "s", "version": "v9"},
    "request": {"model": "gpt-4o-mini", "messages": [{"role": "system", "content": "x"},
                                                     {"role": "user", "content": "Hi?"}]},
    "response": {"id": "c1", "model": "gpt-4o-mini", "choices": [{"message": {
        "role": "assistant", "content": "Yo.", "tool_calls": [{"function": {"name": "t"}}]}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5}},
}  # fmt: skip
ANTHROPIC = {
    "timestamp": "2026-11-01T08:00:00.5Z", "duration_ms": 900, "user_id": "u", "session_id": "s",
    "version": "v9",
    "request": {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hi?"}]},
    "response": {"id": "m1", "type": "message", "model": "claude-sonnet-4-5", "content": [
        {"type": "text", "text": "Yo."}, {"type": "tool_use", "name": "t"}],
        "usage": {"input_tokens": 4, "cache_read_input_tokens": 6, "output_tokens": 5}},
}  # fmt: skip
LITELLM = {
    "request_id": "l1", "startTime": "2026-11-01T08:00:00.500000", "endTime": "2026-11-01T08:00:01.4",
    "end_user": "u", "session_id": "s", "metadata": '{"version": "v9"}', "model": "gpt-4o-mini",
    "prompt_tokens": 10, "completion_tokens": 5, "spend": 0.25, "status": "success",
    "messages": '[{"role": "user", "content": "Hi?"}]', "cache_hit": "None",
    "response": {"choices": [{"message": {"role": "assistant", "content": "Yo.",
                                          "tool_calls": [{"function": {"name": "t"}}]}}]},
}  # fmt: skip


@pytest.mark.parametrize("record", [OPENAI, ANTHROPIC, LITELLM])
def test_each_line_of_a_log_is_a_request(record: dict[str, Any], tmp_path: Path) -> None:
    load(tmp_path, write_lines(tmp_path / "log.jsonl", [record]))
    sql = (
        'select input, output, "user", session, version, input_tokens, output_tokens, latency_ms, '
        "ok, tools, epoch_ms(ts), cost_usd > 0 from requests"
    )
    assert only(query(tmp_path, sql)) == (
        "Hi?", "Yo.", "u", "s", "v9", 10, 5, 900.0, True, ["t"], 1793520000500, True
    )  # fmt: skip


def test_a_parquet_file_is_read_like_a_log(tmp_path: Path) -> None:
    duckdb.execute(
        "copy (select 'Hi?' as input, {'text': 'Yo.'} as answer, timestamp '2026-11-01 08:00' as ts, "
        "['a', 'b'] as tools, 'anonymous' as user, null as model) "
        f"to '{tmp_path / 'a.parquet'}'"
    )
    load(tmp_path, tmp_path / "a.parquet", mapping={"output": "answer.text"})
    sql = 'select input, output, "user", tools, day::varchar from requests'
    assert query(tmp_path, sql) == [("Hi?", "Yo.", None, ["a", "b"], "2026-11-01")]


def squeeze_by_line(text: str) -> bytes:
    """A zstd frame that ends after a whole line when its last bytes are missing."""
    squeezer = zstandard.ZstdCompressor().compressobj()
    flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    return b"".join(
        squeezer.compress(line.encode()) + squeezer.flush(flush)
        for line in text.splitlines(keepends=True)
    )


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_damaged_compressed_file_names_the_place(tmp_path: Path, ending: str) -> None:
    lines = "\n".join(json.dumps(export(support_request(number))) for number in range(50))
    path = tmp_path / f"a.jsonl.{ending}"
    cut = gzip.compress(lines.encode())[:-200] if ending == "gz" else squeeze_by_line(lines)
    path.write_bytes(cut)
    with pytest.raises(InvalidInput, match="damaged or cut off"):
        load(tmp_path, path)
    assert not traffic_folder(tmp_path, "prod").exists()
    assert load(tmp_path, path, lenient=True).added["requests"] > 0


def test_a_store_whose_import_was_killed_is_not_read_until_it_is_imported_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(export(support_request(number))) for number in range(9)))
    load(tmp_path, path)
    before = query(tmp_path, "select * from requests order by request_id")
    folder = traffic_folder(tmp_path, "prod")
    # What a kill between two files leaves: a day is missing, and the marker says so.
    (folder / "unfinished.txt").write_text("a.jsonl\n")
    for lost in folder.glob("requests/day=*/*"):
        lost.unlink()
    with pytest.raises(StoreError, match=r"an import did not finish.*a\.jsonl"):
        query(tmp_path, "select 1")
    load(tmp_path, path)
    assert query(tmp_path, "select * from requests order by request_id") == before
    assert not load(tmp_path, path).imported


def test_impossible_amounts_are_unknown_and_compact_dates_are_dates(tmp_path: Path) -> None:
    rows = [("20261116", "-1", "-2"), ("2026-11-16", "1e308", "0.5"), ("20261116", "0.1", "2")]
    lines = [f"{day},q{n},a,{cost},{took}" for n, (day, cost, took) in enumerate(rows)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["ts,input,output,cost_usd,latency_s", *lines]))
    load(tmp_path, path, format="table")
    found = query(
        tmp_path, "select day::varchar, cost_usd, latency_ms from requests order by input"
    )
    assert found == [
        ("2026-11-16", None, None),
        ("2026-11-16", None, 500),
        ("2026-11-16", 0.1, 2000),
    ]
    path.write_text("ts,input,output\n12,q,a\n")
    with pytest.raises(InvalidInput, match=r"a\.csv:2: no time that can be read"):
        load(tmp_path, path, format="table")
    path.write_text("ts,input,output,sampling_p\n20261116,q,a,2\n20261116,r,a,0.1\n20261116,s,a,\n")
    with pytest.raises(InvalidInput, match=r"a\.csv:2: no sampling_p that is possible"):
        load(tmp_path, path, format="table")
