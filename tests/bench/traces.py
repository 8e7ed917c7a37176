"""What traces cost: CPU that capturing ten spans adds to a trial, and seconds that a question takes.

Capturing, in a run: the CPU of whole runs, agents included, of which two sizes are compared, so that
start-up and the one import of DuckDB at the end are left behind; what an agent without spans takes is
taken off. With the OpenTelemetry SDK that holds what the SDK itself takes for making the spans. What
arrives by OTLP is measured where it arrives: an export of ten spans read, sorted to its trial, turned
into spans, redacted, folded and stored. Target: below 1 ms.

Questions: `evalkit traces` as typed, over 1,000 stored runs of 200 trials with 10 spans each: the
median of some turns, and the CPU of all threads. Target: below 2 s.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import duckdb
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from evalkit.core.redaction import Redactor
from evalkit.core.trial import Output, Trial
from evalkit.store.run_writer import SpanWriter
from evalkit.trace.columns import SPAN_TABLE_COLUMNS
from evalkit.trace.otlp import read_export
from evalkit.trace.receiver import SpanCollector, TrialTrace
from evalkit.trace.tables import quote_sql
from evalkit.trace.totals import fill_from_spans
from tests.bench.measuring import evalkit_command, measure, print_table, wants_quick

SPANS = 10
CPU_TARGET_MS = 1.0
QUERY_TARGET_S = 2.0
SIZES = (200, 2_000)
RUNS = 1_000
TRIALS = 200
TURNS = 5

PLAIN = """
async def answer(text):
    return text.upper()
"""
BY_HAND = """
import evalkit

async def answer(text):
    for number in range(5):
        with evalkit.span("model", "chat", model="m", input_tokens=100, output_tokens=20):
            pass
        with evalkit.span("tool", "search", arguments={"query": text}) as step:
            step.set(result=[text, number])
    return text.upper()
"""
BY_SDK = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

trace.set_tracer_provider(TracerProvider())
tracer = trace.get_tracer("agent")

async def answer(text):
    for number in range(5):
        with tracer.start_as_current_span("chat m") as span:
            span.set_attributes({
                "gen_ai.operation.name": "chat", "gen_ai.request.model": "m",
                "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20})
        with tracer.start_as_current_span("execute_tool search") as span:
            span.set_attributes({
                "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search",
                "gen_ai.tool.call.arguments": '{"query": "' + text + '"}',
                "gen_ai.tool.call.result": "[1, 2]"})
    return text.upper()
"""
AGENTS = {"evalkit.span": BY_HAND, "OpenTelemetry SDK, with its own cost": BY_SDK}


def run_cpu_s(folder: Path, agent: str, cases: int) -> float:
    """CPU of one whole run."""
    (folder / "agent.py").write_text(agent)
    rows = [{"id": f"c{n}", "input": f"q{n}", "expected": f"Q{n}"} for n in range(cases)]
    (folder / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "set.yaml").write_text(
        "agent: {python: ./agent.py:answer}\nmetrics: [exact_match]\ncases: [cases.jsonl]\n"
    )
    return measure(evalkit_command("run", "set.yaml"), folder).cpu_s


def slope_ms(folder: Path, agent: str, sizes: tuple[int, int], turns: int) -> float:
    """CPU of one more trial."""
    small, large = (median(run_cpu_s(folder, agent, size) for _ in range(turns)) for size in sizes)
    return 1000 * (large - small) / (sizes[1] - sizes[0])


def export_of(trace: TrialTrace) -> ExportTraceServiceRequest:
    """Ten spans as an SDK sends them."""
    export = ExportTraceServiceRequest()
    scope = export.resource_spans.add().scope_spans.add()
    for number in range(SPANS):
        span = scope.spans.add(
            trace_id=bytes.fromhex(trace.trace_id),
            span_id=number.to_bytes(7) + b"\1",
            parent_span_id=bytes.fromhex(trace.root_id),
            name="execute_tool search",
            start_time_unix_nano=trace.start_ns,
            end_time_unix_nano=trace.start_ns + 1_000_000,
        )
        for key in ("operation.name", "tool.name", "tool.call.arguments", "tool.call.result"):
            span.attributes.add(key=f"gen_ai.{key}").value.string_value = '{"query": "shoes"}'
    return export


def as_json(trace: TrialTrace) -> bytes:
    """The same in OTLP's JSON, zipped."""
    spans = [
        {
            "traceId": span.trace_id.hex(),
            "spanId": span.span_id.hex(),
            "parentSpanId": span.parent_span_id.hex(),
            "name": span.name,
            "startTimeUnixNano": str(span.start_time_unix_nano),
            "endTimeUnixNano": str(span.end_time_unix_nano),
            "attributes": [
                {"key": pair.key, "value": {"stringValue": pair.value.string_value}}
                for pair in span.attributes
            ],
        }
        for span in export_of(trace).resource_spans[0].scope_spans[0].spans
    ]
    return gzip.compress(
        json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    )


async def receiving_ms(
    folder: Path, make_body: Callable[[TrialTrace], bytes], headers: tuple[str, str], trials: int
) -> float:
    """CPU of one trial's export, from its bytes to the disk."""
    collector, writer = SpanCollector(), SpanWriter(folder)
    redactor = Redactor({"MY_API_KEY": "0123456789abcdef"})
    spent_s = 0.0
    for number in range(trials):
        with collector.open_trace() as trace:
            body = make_body(trace)
            start_s = time.process_time()
            collector.receive(read_export(body, *headers))
            output = fill_from_spans(redactor.redact_output(trace.add_to_output(Output(text="x"))))
            writer.append(Trial(case_id="c", number=number, output=output))
            spent_s += time.process_time() - start_s
    assert len(output.spans) == SPANS
    writer.file.close()
    return 1000 * spent_s / trials


def print_capture(quick: bool) -> None:
    """Measure capturing and print."""
    sizes, turns = ((5, 10), 1) if quick else (SIZES, 3)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain_ms = slope_ms(folder, PLAIN, sizes, turns)
        for label, agent in AGENTS.items():
            rows.append((label, slope_ms(folder, agent, sizes, turns) - plain_ms))
        trials = 20 if quick else 2_000
        ways = {
            "OTLP, protobuf": (lambda trace: export_of(trace).SerializeToString(), "protobuf", ""),
            "OTLP, JSON with gzip": (as_json, "json", "gzip"),
        }
        for label, (make, kind, encoding) in ways.items():
            headers = (f"application/{kind}", encoding)
            rows.append((label, asyncio.run(receiving_ms(folder, make, headers, trials))))
            (folder / "spans.jsonl").unlink()
    print_table(
        f"Capturing {SPANS} spans of a trial",
        ("how", "CPU ms", f"below {CPU_TARGET_MS:g}"),
        [(label, f"{ms:.2f}", "yes" if ms < CPU_TARGET_MS else "NO") for label, ms in rows],
    )


SPAN_ROWS = """
select '{run}' as run, 'v{version}' as agent_version, 'support' as evalset,
    'case-' || t as case_id, 0 as trial, 'scored' as state, (hash(t) % 5) <> 0 as passed,
    1.5 as trial_latency_s, '' as trial_error_type, hash(t, k)::varchar as id, '' as parent_id,
    case k % 2 when 0 then 'chat' else 'execute_tool' end as name,
    case k % 2 when 0 then 'model' else 'tool' end as kind,
    k * 0.1 as start_s, (hash(t, k, {seed}) % 1000) / 500.0 as duration_s,
    case when hash(t, k, {seed}) % 40 = 0 then 'Timeout' else '' end as error_type, '' as error,
    case k % 2 when 0 then '' else (['search', 'lookup_order', 'refund_order', 'escalate',
        'track'])[(1 + hash(t, k, {seed}) % 5)::int] end as tool,
    case k % 2 when 0 then 'gpt-4o-mini' else '' end as model, 'answer-v2' as prompt,
    0.2 as temperature, (hash(t, {seed}) % 2000)::bigint as input_tokens,
    (hash(k, {seed}) % 200)::bigint as output_tokens, 0.0004 as cost_usd,
    '{{"order_id": ' || (hash(t, {seed}) % 100000) || ', "reason": "it arrived broken"}}' as arguments,
    '{{"status": "ok", "amount": ' || (hash(k, t) % 100) || '}}' as result,
    'user-' || (t % 50) as user_id, 'session-' || t as session_id, '{{}}' as attributes
from range({trials}) a(t), range({spans}) b(k)
"""


def store_runs(root: Path, runs: int, trials: int) -> None:
    """Runs as `evalkit run` leaves them; the spans by columns only, since nothing else is read."""
    columns = ", ".join(f"{name}::{kind} as {name}" for name, kind in SPAN_TABLE_COLUMNS.items())
    with duckdb.connect() as connection:
        for number in range(runs):
            run_id = f"20261126-{number:06d}-support-abcdef"
            folder = root / ".evalkit" / "runs" / run_id
            folder.mkdir(parents=True)
            header = {"id": run_id, "evalset": "support", "agent_version": f"v{number % 10}"}
            cases = [{"id": f"case-{case}", "input": "q" * 100} for case in range(trials)]
            (folder / "run.json").write_text(json.dumps({**header, "cases": cases, "trials": 1}))
            os.utime(folder / "run.json", ns=(number + 1, number + 1))
            rows = (
                {
                    "case_id": case["id"],
                    "number": 0,
                    "output": {"text": "a" * 300, "latency_s": 1.5},
                    "scores": [{"metric": "exact_match", "value": 1.0, "passed": True}],
                }
                for case in cases
            )
            (folder / "trials.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            sql = SPAN_ROWS.format(
                run=run_id, version=number % 10, seed=number, trials=trials, spans=SPANS
            )
            target = quote_sql(str(folder / "spans.parquet"))
            connection.execute(
                f"copy (select {columns} from ({sql})) to {target} (format parquet, compression zstd)"
            )


QUESTIONS = {
    "failing, version v3, tool refund_order": ["--failed", "--agent-version", "v3", "--tool", "refund_order"],
    "the same with error Timeout, slower than 1 s": [
        "--failed", "--agent-version", "v3", "--tool", "refund_order", "--error-type", "Timeout", "--slower-than", "1s",
    ],
    "one user's failing traces": ["--failed", "--user", "user-7"],
    "SQL over all spans": ["--sql", "select tool, count(*), quantile_cont(duration_s, 0.95) from spans group by 1"],
    "SQL over all trials": ["--sql", "select agent_version, avg(passed::int) from trials group by 1"],
}  # fmt: skip


def print_questions(quick: bool) -> None:
    """Measure questions and print."""
    runs, trials, turns = (10, 20, 1) if quick else (RUNS, TRIALS, TURNS)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        store_runs(root, runs, trials)
        bare_s = median(
            measure([sys.executable, "-c", "import duckdb"], root).wall_s for _ in range(turns)
        )
        rows = []
        for label, flags in QUESTIONS.items():
            costs = [measure(evalkit_command("traces", *flags), root) for _ in range(turns)]
            wall_s = median(cost.wall_s for cost in costs)
            cpu_s = median(cost.cpu_s for cost in costs)
            good = "yes" if wall_s < QUERY_TARGET_S else "NO"
            rows.append((label, f"{wall_s:.2f}", f"{cpu_s:.2f}", f"{wall_s / bare_s:.1f}", good))
    print_table(
        f"Questions to {runs * trials * SPANS:,} spans of {runs:,} runs",
        ("question", "s", "CPU s", "of importing duckdb", f"below {QUERY_TARGET_S:g} s"),
        rows,
    )


def main() -> None:
    """Measure and print."""
    quick = wants_quick(__doc__)
    print_capture(quick)
    print_questions(quick)


if __name__ == "__main__":
    main()
